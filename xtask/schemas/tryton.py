"""Installs a business suite of Tryton modules (sales, stock, production, projects) in the database of the URL."""
import os
import subprocess
import sys
from pathlib import Path

MODULES = (
    "sale_supply sale_subscription production_work project_invoice purchase_requisition account_payment_sepa "
    "stock_lot stock_package"
).split()

server, database = sys.argv[1].rsplit("/", 1)
Path("trytond.conf").write_text(f"[database]\nuri = {server}/\n")
Path("password").write_text("unused-password\n")
admin = [Path(sys.executable).with_name("trytond-admin"), "-c", "trytond.conf", "-d", database]
options = ["--activate-dependencies", "--email", "admin@schema.example", "-l", "en"]
environment = {**os.environ, "TRYTONPASSFILE": str(Path("password").absolute())}
subprocess.run([*admin, "-u", *MODULES, *options], env=environment, check=True)
