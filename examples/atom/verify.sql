-- What has to be true afterwards; each line says what it expects.
SELECT 'tenants, 3 expected: ' || count(*) FROM tenants;
SELECT 'test tenants, 0 expected: ' || count(*) FROM tenants WHERE plan_code = 'free';
SELECT 'Brennan Machinery, 1 expected: ' || count(*) FROM tenants WHERE id = '7d1f0c52-3b9e-4c58-9f4e-2a6b8e51c0d7';
SELECT 'users of removed tenants, 0 expected: ' || count(*) FROM users u
    WHERE NOT EXISTS (SELECT 1 FROM tenants t WHERE t.id = u.tenant_id);
SELECT 'logs of removed tenants, 0 expected: ' || count(*) FROM audit_logs l
    WHERE l.tenant_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM tenants t WHERE t.id::text = l.tenant_id);
