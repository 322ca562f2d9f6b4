-- as lethe_owner, in database bank, after the store was made
SET search_path = lethe;
GRANT USAGE ON SCHEMA lethe TO lethe, lethe_reader;
GRANT SELECT ON lethe_format, head, lineage, name, stream, event, batch, segment, run, tile, cursor, fence
  TO lethe, lethe_reader;
GRANT SELECT ON token TO lethe;
GRANT INSERT ON name, stream, event, batch, segment, run, tile, cursor, fence, token TO lethe;
GRANT DELETE ON batch, segment, run TO lethe;
GRANT UPDATE (one, metadata, fence, indexed, changes, lives, state, place) ON head TO lethe;
GRANT UPDATE (closed, truncated, pruned) ON stream TO lethe;
GRANT UPDATE (hashes, body, boxes) ON event TO lethe;
GRANT UPDATE (system, frontier) ON batch TO lethe;
GRANT UPDATE (revision, position, note) ON cursor TO lethe;
GRANT UPDATE (revoked, used) ON token TO lethe;
GRANT USAGE ON SEQUENCE segment_n TO lethe;
