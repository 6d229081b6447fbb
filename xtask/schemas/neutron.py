"""Creates the tables of OpenStack Neutron, a network manager, in the database of the URL."""
import sys

from neutron.db.migration.models import head  # noqa: F401
from neutron_lib.db import model_base
from sqlalchemy import create_engine

# The driver that is installed; the default one changes with the versions of SQLAlchemy.
url = sys.argv[1].replace("postgresql:", "postgresql+psycopg2:")
model_base.BASEV2.metadata.create_all(create_engine(url))
