"""Creates the tables and triggers of Galaxy, a workbench for biologists, in the database of the URL."""
import sys

import galaxy.model
import galaxy.model.mapping  # noqa: F401
from galaxy.model.triggers import update_audit_table
from sqlalchemy import create_engine

engine = create_engine(sys.argv[1])
galaxy.model.mapper_registry.metadata.create_all(engine)
update_audit_table.install(engine)
