// Package ingest imports events from the files other systems leave behind: XES event logs, JSON Lines and CSV, each
// also packed by gzip.
//
// A Map says what events a record becomes; docs/import.md describes its language. Run reads the inputs as a stream,
// maps each record and appends the result in batches, with one batch on its way while the next is made:
//
//	m, err := ingest.ParseMap(text)
//	sum, err := ingest.Run(ctx, session, storage.ImportKey(secret), m, []ingest.Input{{
//		Name: "log.xes.gz",
//		Open: func() (io.ReadCloser, error) { return os.Open("log.xes.gz") },
//	}}, ingest.Options{Rejects: rejects})
//
// Three things hold for every run:
//
//   - Ids are made from the source's name and the record, so a run that is repeated adds nothing, and a run that was
//     interrupted anywhere goes on when it is run again. docs/format/import-id.md specifies them.
//   - A record goes in as a whole or not at all. One that cannot is named in the reject file by input, record number,
//     line, code and cause; neither that file nor any error holds a value of it, because a record that was not
//     imported is a record whose personal data nobody has found yet.
//   - Memory is bounded, whatever the input: lines, rows, tags, depths and batches all have their limit.
//
// The road of a record: a reader (xes.go on xml.go, jsonl.go, csv.go) fills in the fields the map reads; mapper.go
// and data.go make a request of them; pipeline.go gathers batches; append.go hands them to the Sink and keeps account.
// map.go, rule.go and node.go read the map itself.
package ingest
