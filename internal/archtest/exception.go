package archtest

import "fmt"

// Exception excuses the findings of one rule in one place, for a reason a reader can check.
type Exception struct {
	Rule    string
	File    string // as the finding names it
	Subject string // as the finding names it; empty where the finding has none
	Reason  string
}

// exceptions is the whole list. Keep it short: mending is nearly always cheaper than a reason that stays true.
func exceptions() []Exception {
	return []Exception{
		{"size/interface", "storage/storage.go", "Store",
			"what a driver opens: the roles Log, Streams, Cursors, Fencer, Sizer and Tokens in one value; users take the roles"},
		{"size/interface", "storage/use.go", "Keystore",
			"what a driver of keys opens: the roles Keys and Uses in one value; users take the roles"},
		{"size/interface", "backend.go", "Backend",
			"what a store stands on: the roles Journal, Upkeep and Care in one value, of one log"},
	}
}

// Excuse takes away the findings that an exception names, and adds a finding for each exception that has no reason
// or excuses nothing any more.
func Excuse(found []Finding, list []Exception) []Finding {
	type key struct{ rule, file, subject string }
	used := map[key]bool{}
	for _, e := range list {
		used[key{e.Rule, e.File, e.Subject}] = false
	}
	var left []Finding
	for _, f := range found {
		k := key{f.Rule, f.File, f.Subject}
		if _, listed := used[k]; !listed {
			left = append(left, f)
			continue
		}
		used[k] = true
	}
	for _, e := range list {
		at := Spot{File: "internal/archtest/exception.go", Line: 1, Subject: e.File}
		if e.Reason == "" {
			left = append(left, Finding{at, "exception/reason",
				fmt.Sprintf("the exception to %s for %s %s has no reason", e.Rule, e.File, e.Subject), "give one"})
		}
		if !used[key{e.Rule, e.File, e.Subject}] {
			left = append(left, Finding{at, "exception/unused",
				fmt.Sprintf("the exception to %s for %s %s excuses nothing", e.Rule, e.File, e.Subject), "delete it"})
		}
	}
	return left
}
