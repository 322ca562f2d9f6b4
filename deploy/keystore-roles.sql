-- as an administrator, for a keystore in a database of its own
CREATE ROLE lethe_keys LOGIN;                             -- what Lethe opens the keystore as
ALTER ROLE lethe_keys SET log_parameter_max_length = 0;   -- wrapped keys are parameters
CREATE DATABASE bank_keys OWNER lethe_owner ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE bank_keys FROM PUBLIC;
GRANT CONNECT ON DATABASE bank_keys TO lethe_keys;
