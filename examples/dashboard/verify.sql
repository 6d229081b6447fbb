-- What has to be true afterwards; each line says what it expects.
SELECT 'users of the burst, 0 expected: ' || count(*) FROM users WHERE created_at LIKE '2026-03-14T09:26:53%';
SELECT 'their sessions, payments and reports, 0 expected: ' || (
    (SELECT count(*) FROM sessions WHERE user_id LIKE 'cldemo%') + (SELECT count(*) FROM payments WHERE user_id LIKE 'cldemo%')
    + (SELECT count(*) FROM reports WHERE user_id LIKE 'cldemo%'));
SELECT 'administrators, 1 expected: ' || count(*) FROM users WHERE role = 'ADMIN';
SELECT 'customers, 41 expected: ' || count(*) FROM users WHERE role = 'USER';
SELECT 'reports of customers, 168 expected: ' || count(*) FROM reports;
