-- as lethe_owner, in the keystore's database, after the keystore was made
SET search_path = lethe;
GRANT USAGE ON SCHEMA lethe TO lethe_keys;
GRANT SELECT ON keystore_format, keystore, key_epoch, keyring, key_lookup, key_retention TO lethe_keys;
GRANT SELECT ON key_uses, key_use, key_segment, key_run TO lethe_keys;
GRANT INSERT ON key_epoch, keyring, key_lookup, key_retention, key_use, key_segment, key_run TO lethe_keys;
GRANT DELETE ON key_lookup, key_use, key_segment, key_run TO lethe_keys;
GRANT UPDATE (one, store, applied) ON keystore TO lethe_keys;
GRANT UPDATE (version, state, created, name, record) ON key_epoch TO lethe_keys;
GRANT UPDATE (version, epoch, state, record) ON keyring, key_retention TO lethe_keys;
GRANT UPDATE (krid, state, until) ON key_lookup TO lethe_keys;
GRANT UPDATE (one, pruned, indexed) ON key_uses TO lethe_keys;
GRANT USAGE ON SEQUENCE key_segment_n TO lethe_keys;
