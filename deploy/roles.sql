-- as an administrator, in any database
CREATE ROLE lethe_owner LOGIN;   -- makes tables and upgrades them
CREATE ROLE lethe LOGIN;         -- what Lethe runs as
CREATE ROLE lethe_reader LOGIN;  -- for who only reads
ALTER ROLE lethe SET log_parameter_max_length = 0;        -- events are parameters: the server's log
ALTER ROLE lethe_owner SET log_parameter_max_length = 0;  -- shall not quote them
CREATE DATABASE bank OWNER lethe_owner ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE bank FROM PUBLIC;
GRANT CONNECT ON DATABASE bank TO lethe, lethe_reader;
