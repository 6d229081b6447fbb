"""Runs the migrations of OpenStack Keystone, an identity service, on the database of the URL."""
import subprocess
import sys
from pathlib import Path

# The driver that is installed; the default one changes with the versions of SQLAlchemy.
url = sys.argv[1].replace("postgresql:", "postgresql+psycopg2:")
Path("keystone.conf").write_text(f"[database]\nconnection = {url}\n")
manage = Path(sys.executable).with_name("keystone-manage")
subprocess.run([manage, "--config-file", "keystone.conf", "db_sync"], check=True)
