-- What the application's cache holds, as commands of redis-cli:  psql -XAtq -f cache.sql | redis-cli
SELECT 'SET tenant:' || id || ':plan ' || plan_code FROM tenants ORDER BY id;
SELECT 'SET tenant:' || id || ':seats 5' FROM tenants ORDER BY id;
SELECT 'SET cache:branding:' || subdomain || ' dark' FROM tenants ORDER BY id;
SELECT 'SET user:map:' || lower(email) || ' ' || tenant_id FROM users ORDER BY id;
SELECT 'SET config:version 7';
