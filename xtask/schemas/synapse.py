"""Creates the tables of Synapse, a Matrix server, in the database of the URL and brings them up to date."""
import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

url = urlsplit(sys.argv[1])
if url.scheme == "sqlite":
    # The updater wants to find a file, even an empty one.
    Path(url.path[1:]).touch()
    database = {"name": "sqlite3", "args": {"database": url.path[1:]}}
else:
    arguments = {"user": url.username, "host": url.hostname, "port": url.port, "dbname": url.path[1:]}
    database = {"name": "psycopg2", "args": arguments, "allow_unsafe_locale": True}
config = {
    "server_name": "schema.example",
    "database": database,
    "report_stats": False,
    "signing_key_path": str(Path("signing.key").absolute()),
    "macaroon_secret_key": "unused",
    "form_secret": "unused",
    "registration_shared_secret": "unused",
}
# JSON is YAML.
Path("homeserver.yaml").write_text(json.dumps(config))
python = [sys.executable, "-m"]
subprocess.run(python + ["synapse.app.homeserver", "-c", "homeserver.yaml", "--generate-keys"], check=True)
updater = Path(sys.executable).with_name("update_synapse_database")
subprocess.run([updater, "--database-config", "homeserver.yaml"], check=True)
