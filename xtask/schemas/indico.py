"""Creates the tables of Indico, a conference manager, in the PostgreSQL database of the URL."""
import importlib
import pkgutil
import sys

import indico.modules
from sqlalchemy import create_engine, text
from sqlalchemy.orm import configure_mappers

for module in pkgutil.walk_packages(indico.modules.__path__, "indico.modules."):
    if ".models" in module.name and "test" not in module.name:
        importlib.import_module(module.name)

from indico.core.db import db  # noqa: E402
from indico.core.db.sqlalchemy.util.models import import_all_models  # noqa: E402

import_all_models()
configure_mappers()
engine = create_engine(sys.argv[1])
with engine.begin() as connection:
    connection.execute(text("CREATE EXTENSION unaccent"))
    connection.execute(text("CREATE EXTENSION pg_trgm"))
db.metadata.create_all(engine)
