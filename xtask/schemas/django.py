"""Migrates a Django site with a shop (Oscar), two content managers (Wagtail, django CMS) and all contrib apps."""
import sys
from urllib.parse import urlsplit

# Not this file, which has the name of the framework.
sys.path.pop(0)

import django  # noqa: E402
from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from oscar import defaults  # noqa: E402


def database(url):
    if url.scheme == "sqlite":
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": url.path[1:]}
    place = {"HOST": url.hostname, "PORT": url.port, "USER": url.username, "NAME": url.path[1:]}
    return {"ENGINE": "django.db.backends.postgresql", **place}


CONTRIB = "admin auth contenttypes sessions messages staticfiles sites flatpages redirects".split()
WAGTAIL = (
    "contrib.forms contrib.redirects contrib.search_promotions contrib.settings embeds sites users snippets "
    "documents images search admin"
).split()
SHOP = (
    "analytics:Analytics checkout:Checkout address:Address shipping:Shipping catalogue:Catalogue "
    "catalogue.reviews:CatalogueReviews communication:Communication partner:Partner basket:Basket "
    "payment:Payment offer:Offer order:Order customer:Customer search:Search voucher:Voucher "
    "wishlists:Wishlists dashboard:Dashboard"
).split()
DASHBOARD = (
    "reports users orders catalogue offers partners pages ranges reviews vouchers communications shipping"
).split()
CONTEXT = [
    "django.contrib.auth.context_processors.auth",
    "django.template.context_processors.request",
    "django.contrib.messages.context_processors.messages",
    "cms.context_processors.cms_settings",
]

shop = [name.split(":") for name in SHOP]
settings.configure(
    **{name: getattr(defaults, name) for name in dir(defaults) if name.startswith("OSCAR_")},
    SECRET_KEY="unused",
    USE_TZ=True,
    SITE_ID=1,
    STATIC_URL="/static/",
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[
        *(f"django.contrib.{name}" for name in CONTRIB),
        *(f"wagtail.{name}" for name in WAGTAIL),
        *("wagtail", "modelcluster", "taggit", "oscar.config.Shop"),
        *(f"oscar.apps.{path}.apps.{name}Config" for path, name in shop),
        *(f"oscar.apps.dashboard.{name}.apps.{name.capitalize()}DashboardConfig" for name in DASHBOARD),
        *("widget_tweaks", "haystack", "treebeard", "sorl.thumbnail", "django_tables2", "cms", "menus"),
    ],
    LANGUAGES=[("en", "English")],
    LANGUAGE_CODE="en",
    CMS_CONFIRM_VERSION4=True,
    HAYSTACK_CONNECTIONS={"default": {"ENGINE": "haystack.backends.simple_backend.SimpleEngine"}},
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {"context_processors": CONTEXT},
        }
    ],
    WAGTAIL_SITE_NAME="unused",
    DATABASES={"default": database(urlsplit(sys.argv[1]))},
)
django.setup()
call_command("migrate", skip_checks=True, verbosity=0)
