package policy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/event/pagetest"
	"github.com/lethe-es/lethe/policy"
)

// records are one of each type, with every field; docs/format/policy.md shows them.
func records(t testing.TB) []policy.Record {
	t.Helper()
	who, guardian := krid(t, clerk), krid(t, investigator)
	return []policy.Record{
		policy.ConsentRecorded{
			Principal: who, Controller: "bank", Purpose: "newsletter", Basis: policy.Consent, Groups: []string{"contact"},
			Notice: policy.Notice{Version: "3", Language: "en", Digest: strings.Repeat("9f", 32)}, Method: "web-form",
			At: time.Date(2026, 11, 22, 9, 30, 0, 250_000_000, time.UTC), State: policy.Given, Explicit: true,
			Until:      time.Date(2028, 11, 22, 0, 0, 0, 0, time.UTC),
			Recipients: []string{"mailer"}, Jurisdiction: "DE", Withdrawal: "web-form", Guardian: guardian, Case: "C-17",
		},
		policy.ConsentWithdrawn{
			Principal: who, Consents: []event.ID{eventID(1)}, Purposes: []string{"newsletter"},
			At: time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC), Method: "letter", Case: "C-18",
		},
		policy.SubjectRestricted{Principal: who, Groups: []string{"finance"}, Ground: policy.AccuracyContested, Case: "C-19"},
		policy.RestrictionReleased{
			Principal: who, Restriction: eventID(3), Ground: "corrected",
			Informed: time.Date(2026, 12, 3, 8, 0, 0, 0, time.UTC), Case: "C-19",
		},
		policy.ObjectionRecorded{
			Principal: who, Purposes: []string{"scoring"}, Marketing: true,
			At: time.Date(2026, 12, 4, 8, 0, 0, 0, time.UTC), Method: "phone", Case: "C-20",
		},
		policy.ObjectionBalanced{
			Principal: who, Objection: eventID(5), Outcome: policy.Overridden,
			At: time.Date(2026, 12, 9, 8, 0, 0, 0, time.UTC), Ground: "fraud-prevention", Case: "C-20",
		},
		policy.ChildNoted{Principal: who, Until: "2031-04", Guardian: guardian, Case: "C-21"},
		policy.ChildCleared{
			Principal: who, Note: eventID(7), At: time.Date(2027, 1, 2, 8, 0, 0, 0, time.UTC), Ground: "mistake", Case: "C-22",
		},
	}
}

// TestRecords makes an event of each record and reads it back, strictly.
func TestRecords(t *testing.T) {
	types := policy.StandingTypes()
	for i, r := range records(t) {
		d, err := r.Draft()
		if err != nil {
			t.Fatal(err)
		}
		if d.Type != types[i] {
			t.Errorf("%T is of type %s, want %s", r, d.Type, types[i])
		}
		again, err := policy.ParseRecord(d.Type, d.Data)
		if diff := cmp.Diff(r, again); diff != "" || err != nil {
			t.Errorf("%s reads back as something else, %v:\n%s", d.Type, err, diff)
		}
		if r.Subject() != krid(t, clerk) {
			t.Errorf("%T is about %s", r, r.Subject())
		}
		text := string(d.Data)
		for name, bad := range map[string]string{
			"unknown field": `{"words":"Erika called",` + text[1:],
			"repeated":      `{"principal":"` + clerk + `",` + text[1:],
			"cut off":       text[:len(text)-1],
			"two":           text + text,
			"a list":        "[" + text + "]",
			"null":          "null",
			"too long":      text + strings.Repeat(" ", 100_000),
			"nobody":        strings.Replace(text, clerk, "krid_00000000000000000000000000", 1),
			"another case":  strings.Replace(text, `"principal"`, `"Principal"`, 1),
		} {
			if _, err := policy.ParseRecord(d.Type, []byte(bad)); event.Code(err) != "record_invalid" {
				t.Errorf("%s, %s: %v", d.Type, name, err)
			}
		}
	}
	if _, err := policy.ParseRecord("lethe.StreamClosed", []byte(`{}`)); !errors.Is(err, event.ErrFormat) {
		t.Errorf("another type: %v", err)
	}
}

// TestWordsAreRefused wants codes and ids where words could name somebody, and does not show what was there.
func TestWordsAreRefused(t *testing.T) {
	for _, r := range records(t) {
		d, err := r.Draft()
		if err != nil {
			t.Fatal(err)
		}
		var fields map[string]any
		if err := json.Unmarshal(d.Data, &fields); err != nil {
			t.Fatal(err)
		}
		for name := range fields {
			for _, words := range []string{"Erika Mustermann", "erika@example.org"} {
				changed := map[string]any{}
				for k, v := range fields {
					changed[k] = v
				}
				changed[name] = words
				if _, isList := fields[name].([]any); isList {
					changed[name] = []string{words}
				}
				text, err := json.Marshal(changed)
				if err != nil {
					t.Fatal(err)
				}
				_, err = policy.ParseRecord(d.Type, text)
				if event.Code(err) != "record_invalid" || strings.Contains(strings.ToLower(fmt.Sprint(err)), "erika") {
					t.Errorf("%s with words in %s: %v", d.Type, name, err)
				}
			}
		}
	}
}

// TestRecordsAreComplete refuses records without what they are about.
func TestRecordsAreComplete(t *testing.T) {
	who := krid(t, clerk)
	whole, ok := records(t)[0].(policy.ConsentRecorded)
	if !ok {
		t.Fatal("the first record is no consent")
	}
	consent := func(change func(*policy.ConsentRecorded)) policy.Record {
		c := whole
		change(&c)
		return c
	}
	for field, r := range map[string]policy.Record{
		"principal":       consent(func(c *policy.ConsentRecorded) { c.Principal = event.KRID{} }),
		"controller":      consent(func(c *policy.ConsentRecorded) { c.Controller = "" }),
		"purpose":         consent(func(c *policy.ConsentRecorded) { c.Purpose = "" }),
		"basis":           consent(func(c *policy.ConsentRecorded) { c.Basis = policy.Contract }),
		"groups":          consent(func(c *policy.ConsentRecorded) { c.Groups = []string{"a", "a"} }),
		"notice.version":  consent(func(c *policy.ConsentRecorded) { c.Notice.Version = "" }),
		"notice.language": consent(func(c *policy.ConsentRecorded) { c.Notice.Language = "" }),
		"notice.digest":   consent(func(c *policy.ConsentRecorded) { c.Notice.Digest = strings.Repeat("9F", 32) }),
		"method":          consent(func(c *policy.ConsentRecorded) { c.Method = "" }),
		"at":              consent(func(c *policy.ConsentRecorded) { c.At = time.Time{} }),
		"state":           consent(func(c *policy.ConsentRecorded) { c.State = "maybe" }),
		"until":           consent(func(c *policy.ConsentRecorded) { c.Until = c.At }),
		"jurisdiction":    consent(func(c *policy.ConsentRecorded) { c.Jurisdiction = "Germany" }),
		"guardian":        consent(func(c *policy.ConsentRecorded) { c.Guardian = c.Principal }),
		"consents":        policy.ConsentWithdrawn{Principal: who, At: noon(1)},
		"purposes":        policy.ConsentWithdrawn{Principal: who, At: noon(1), Purposes: make([]string, 101)},
		"ground":          policy.SubjectRestricted{Principal: who},
		"restriction":     policy.RestrictionReleased{Principal: who, Ground: "solved"},
		"objection":       policy.ObjectionBalanced{Principal: who, Outcome: policy.Upheld, At: noon(1), Ground: "weighed"},
		"outcome":         policy.ObjectionBalanced{Principal: who, Objection: eventID(1), At: noon(1), Ground: "weighed"},
		"note":            policy.ChildCleared{Principal: who, At: noon(1), Ground: "mistake"},
	} {
		_, err := r.Draft()
		if event.Code(err) != "record_invalid" || !strings.Contains(err.Error(), ": "+field+": ") {
			t.Errorf("%s: %v", field, err)
		}
	}
	for _, until := range []string{"2031-13", "2031", "2031-04-05", "31-04", "soon"} {
		if _, err := (policy.ChildNoted{Principal: who, Until: until}).Draft(); event.Code(err) != "record_invalid" {
			t.Errorf("%s: %v", until, err)
		}
	}
}

// TestReceipt gives a person what the record holds, and nothing else.
func TestReceipt(t *testing.T) {
	e := said{eventID(1), time.Date(2026, 11, 22, 9, 30, 1, 0, time.UTC), records(t)[0]}.event(t)
	e.Leaf = [32]byte{1, 2, 3}
	r, err := policy.NewReceipt(e)
	if err != nil {
		t.Fatal(err)
	}
	text, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	pagetest.Golden(t, "testdata/receipt.json", text)
	pagetest.Golden(t, "testdata/receipt.txt", []byte(r.Text()))

	e.Stream = policy.Stream(krid(t, investigator))
	_, err = policy.NewReceipt(e)
	wantCode(t, err, event.ErrInvalid, "principal_mismatch")
	_, err = policy.NewReceipt(said{eventID(1), noon(1), records(t)[1]}.event(t))
	wantCode(t, err, event.ErrInvalid, "no_consent_record")

	least := policy.ConsentRecorded{Principal: krid(t, clerk), Controller: "bank", Purpose: "newsletter",
		Basis: policy.Consent, Notice: policy.Notice{Version: "3", Language: "en"}, Method: "phone", At: noon(1),
		State: policy.Refused}
	r, err = policy.NewReceipt(said{eventID(1), noon(2), least}.event(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, label := range []string{"valid until", "guardian", "recipients", "leaf", "case"} {
		if strings.Contains(r.Text(), label) {
			t.Errorf("the receipt says something of %s:\n%s", label, r.Text())
		}
	}
}

// TestAdmit refuses records that make no sense under the policy.
func TestAdmit(t *testing.T) {
	p := bank(t)
	who := krid(t, clerk)
	consent := func(change func(*policy.ConsentRecorded)) policy.Record {
		c := policy.ConsentRecorded{Principal: who, Controller: "bank", Purpose: "newsletter", Basis: policy.Consent,
			Notice: policy.Notice{Version: "3", Language: "en"}, Method: "web-form", At: noon(1), State: policy.Given}
		change(&c)
		return c
	}
	restricted := func(groups ...string) policy.Record {
		return policy.SubjectRestricted{Principal: who, Groups: groups, Ground: policy.Unlawful}
	}
	objected := func(purposes ...string) policy.Record {
		return policy.ObjectionRecorded{Principal: who, Purposes: purposes, At: noon(1)}
	}
	withdrawn := func(purpose string, ids ...event.ID) policy.Record {
		r := policy.ConsentWithdrawn{Principal: who, Consents: ids, At: noon(1)}
		if purpose != "" {
			r.Purposes = []string{purpose}
		}
		return r
	}
	given, ended := event.ID{1}, event.ID{2}
	standing := &policy.Standing{Consents: []policy.ConsentState{{ID: given, Purpose: "gone"}},
		Withdrawals: []policy.Withdrawal{{Consent: ended}, {Purpose: "long gone"}}}
	const no = "record_refused"
	tests := map[string]struct {
		record policy.Record
		code   string
	}{
		"a consent":                 {consent(func(*policy.ConsentRecorded) {}), ""},
		"an unknown purpose":        {consent(func(c *policy.ConsentRecorded) { c.Purpose = "fun" }), no},
		"a purpose that needs none": {consent(func(c *policy.ConsentRecorded) { c.Purpose = "support" }), no},
		"an unknown controller":     {consent(func(c *policy.ConsentRecorded) { c.Controller = "shop" }), no},
		"another group":             {consent(func(c *policy.ConsentRecorded) { c.Groups = []string{"finance"} }), no},
		"another recipient":         {consent(func(c *policy.ConsentRecorded) { c.Recipients = []string{"mailer"} }), no},
		"not explicit":              {consent(func(c *policy.ConsentRecorded) { c.Purpose = "hardship" }), no},
		"explicit": {consent(func(c *policy.ConsentRecorded) {
			c.Purpose, c.Explicit = "hardship", true
		}), ""},
		"a withdrawal":               {withdrawn("newsletter"), ""},
		"of what is gone":            {withdrawn("gone"), ""},
		"of it once more":            {withdrawn("long gone"), ""},
		"of what never was":          {withdrawn("newletter"), no},
		"of one consent":             {withdrawn("", given), ""},
		"of one once more":           {withdrawn("", ended), ""},
		"of no consent":              {withdrawn("", given, event.ID{3}), no},
		"of what stays hidden":       {withdrawn("aml"), no},
		"a restriction":              {restricted("contact", "reference"), ""},
		"of an unknown group":        {restricted("other"), no},
		"of what does not exist":     {restricted("suspicion"), no},
		"an objection":               {objected("scoring", "newsletter"), ""},
		"an objection to a contract": {objected("support"), no},
		"to what does not exist":     {objected("aml"), no},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			wantCode(t, p.Admit(test.record, standing), event.ErrInvalid, test.code)
		})
	}
	hidden, missing := p.Admit(objected("aml"), standing), p.Admit(objected("abc"), standing)
	if strings.ReplaceAll(hidden.Error(), "aml", "abc") != missing.Error() {
		t.Errorf("got %v, and %v", hidden, missing)
	}
}
