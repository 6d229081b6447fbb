-- Letting the server look for test data: fifteen shapes of names and addresses, in three columns.
\set shapes '\\ytest\\y|^test[ _-]|\\ye2e\\y|^demo[-_ ]|\\yload ?test|^qa[-_ 0-9]|@example\\.(com|org|net)$|@test\\.com$|@(mailinator|yopmail|guerrillamail)\\.com$|\\+test[0-9]*@|^(asdf|qwerty|foo|bar|xxx|aaa|temp|tmp)|\\y(acme|contoso|initech|globex)\\y|[0-9]{10,13}|\\y(staging|sandbox|dummy|fake|sample)\\y|^(delete me|my test|new org)'
SET max_parallel_workers_per_gather = 0;
SELECT count(*) FROM accounts WHERE name ~* :'shapes' OR subdomain ~* :'shapes' OR email ~* :'shapes';
