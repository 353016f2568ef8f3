#!/usr/bin/env bash
# Makes Cellar's two databases and one role per service; can be run again at any time.
#
# The official postgres image runs it on an empty data folder. Run by hand or by the launcher against
# any other server, it connects as a superuser by PGHOST, PGPORT, PGUSER and PGPASSWORD:
#
#     PGHOST=127.0.0.1 PGPORT=5432 PGUSER=postgres services/postgres/initdb/10-databases.sh
#
# The passwords come from the environment. psql reads them by itself, so that they stand on no command
# line, and the server is told not to log the statements that carry them. Tables and the rights on
# them are made by `python -m schema.migrate`, not here.
set -euo pipefail

for role in SIMULATOR ML_MODEL TRACKING MONITORING; do
  variable=CELLAR_${role}_DATABASE_PASSWORD
  if [[ -z ${!variable:-} ]]; then
    echo "10-databases.sh: ${variable} is not set" >&2
    exit 1
  fi
done

psql --no-psqlrc --no-password --quiet --set ON_ERROR_STOP=1 \
  --username "${PGUSER:-${POSTGRES_USER:-postgres}}" --dbname postgres >/dev/null <<'SQL'
-- A password must not get into the server's log, neither as a statement nor with an error.
SET log_statement = 'none';
SET log_min_duration_statement = -1;
SET log_min_error_statement = 'panic';
SET client_min_messages = 'warning';

\getenv simulator_password CELLAR_SIMULATOR_DATABASE_PASSWORD
\getenv ml_model_password CELLAR_ML_MODEL_DATABASE_PASSWORD
\getenv tracking_password CELLAR_TRACKING_DATABASE_PASSWORD
\getenv monitoring_password CELLAR_MONITORING_DATABASE_PASSWORD

-- Two runs at once take turns.
SELECT pg_advisory_lock(hashtext('cellar databases'));

SELECT format('CREATE ROLE %I', role)
FROM unnest(ARRAY['cellar_simulator', 'cellar_ml_model', 'cellar_tracking', 'cellar_monitoring']) AS role
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role)
\gexec

ALTER ROLE cellar_simulator LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'simulator_password';
ALTER ROLE cellar_ml_model LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'ml_model_password';
ALTER ROLE cellar_tracking LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'tracking_password';
ALTER ROLE cellar_monitoring LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'monitoring_password';

-- template0: the encoding is then ours to choose, whatever the cluster was made with.
SELECT format('CREATE DATABASE %I OWNER %I TEMPLATE template0 ENCODING ''UTF8''', name, owner)
FROM (VALUES ('cellar', 'cellar_simulator'), ('mlflow', 'cellar_tracking')) AS wanted (name, owner)
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = name)
\gexec

ALTER DATABASE cellar OWNER TO cellar_simulator;
ALTER DATABASE mlflow OWNER TO cellar_tracking;
REVOKE ALL ON DATABASE cellar, mlflow FROM PUBLIC;
GRANT CONNECT ON DATABASE cellar TO cellar_ml_model, cellar_tracking, cellar_monitoring;

\connect cellar
REVOKE ALL ON SCHEMA public FROM PUBLIC;
\connect mlflow
REVOKE ALL ON SCHEMA public FROM PUBLIC;
SQL

echo '10-databases.sh: databases cellar and mlflow and the four service roles are in place'
