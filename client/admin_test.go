package client_test

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"

	"github.com/lethe-es/lethe"
	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/client"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms/kmstest"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
	"github.com/lethe-es/lethe/storage/memory"
)

const policyOfPersons = `{"version": 1, "kinds": {"customer": {"person": true}}, "groups": {"contact": {}},
  "purposes": {"support": {"basis": "contract", "groups": ["contact", "reference"]}}}`

// governed is a world that holds personal data of customer/4711, and a client of it whose answers lose loses.
func governed(t *testing.T, lose func(path string) bool) (*world, *client.Client) {
	t.Helper()
	w := newSealed(t, kmstest.New(t), &lethe.Options{
		Keystore: memory.NewKeys(), Notations: []schema.Notation{jsonschema.New()}})
	c := open(t, "http://"+w.address, &client.Options{Clock: new(hurried), Transport: roundTripper(
		func(r *http.Request) (*http.Response, error) {
			answer, err := w.direct.RoundTrip(r)
			if err == nil && lose(r.URL.Path) {
				_ = answer.Body.Close()
				return nil, errors.New("the connection broke")
			}
			return answer, err
		})})
	set := &lethev1.SetPolicyRequest{Document: []byte(policyOfPersons), Actor: "service/officer"}
	if _, err := c.Policy.Set(t.Context(), connect.NewRequest(set)); err != nil {
		t.Fatal(err)
	}
	_, err := c.As(clerk()).Append(t.Context(), event.Stream("customer", "4711"), event.Any, event.Draft{Type: "Met"})
	if err != nil {
		t.Fatal(err)
	}
	return w, c
}

func somebody() *lethev1.Person { return &lethev1.Person{Kind: "customer", Ref: "4711"} }

// TestAdmin makes a call of every service that is handed out.
func TestAdmin(t *testing.T) {
	_, c := governed(t, func(string) bool { return false })
	pushed, err := c.Schemas.Push(t.Context(), connect.NewRequest(&lethev1.PushSchemaRequest{
		Type: "Met", Notation: jsonschema.Name, Text: []byte(`{"type": "object", "additionalProperties": false}`)}))
	if err != nil || pushed.Msg.GetSchema().GetNumber() != 1 {
		t.Errorf("push: %v, %v", pushed, err)
	}
	_, err = c.Subjects.Show(t.Context(), connect.NewRequest(&lethev1.ShowSubjectRequest{
		Person: &lethev1.Person{Kind: "customer", Ref: "no-4712-of-the-bank"}}))
	if !errors.Is(err, event.ErrNotFound) || event.Code(err) != "unknown_person" ||
		strings.Contains(err.Error(), "no-4712-of-the-bank") {
		t.Errorf("a stranger: %v", err)
	}
	walked, err := c.Subjects.Map(t.Context(), connect.NewRequest(&lethev1.MapSubjectRequest{Person: somebody()}))
	if err != nil {
		t.Fatal(err)
	}
	var last *lethev1.MapSubjectResponse
	for walked.Receive() {
		last = walked.Msg()
	}
	if walked.Err() != nil || last.GetFootprint().GetRoles()["stream"] != 1 {
		t.Errorf("map: %v, %v", last, walked.Err())
	}
	walked, err = c.Subjects.Map(t.Context(), connect.NewRequest(&lethev1.MapSubjectRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	if walked.Receive() || event.Code(walked.Err()) != "malformed_person" || !errors.Is(walked.Err(), event.ErrInvalid) {
		t.Errorf("map of nobody: %v", walked.Err())
	}
	listed, err := c.Consents.List(t.Context(), connect.NewRequest(&lethev1.ListConsentsRequest{Person: somebody()}))
	if err != nil || listed.Msg.GetConsents() != "[]" {
		t.Errorf("consents: %v, %v", listed, err)
	}
	status, err := c.Keys.Status(t.Context(), connect.NewRequest(new(lethev1.KeyStatusRequest)))
	if err != nil || status.Msg.GetCurrent() != 1 {
		t.Errorf("status: %v, %v", status, err)
	}
	rolled, err := c.Keys.Roll(t.Context(), connect.NewRequest(new(lethev1.RollKeysRequest)))
	if err != nil {
		t.Fatal(err)
	}
	epoch := uint32(0)
	for rolled.Receive() {
		epoch = rolled.Msg().GetEpoch()
	}
	if rolled.Err() != nil || epoch != 2 {
		t.Errorf("roll: epoch %d, %v", epoch, rolled.Err())
	}
}

// TestAdminRetries loses the first answer of calls: what is safe is made again, what is not is event.ErrUnknown.
func TestAdminRetries(t *testing.T) {
	var lost atomic.Pointer[string]
	tried := atomic.Int32{}
	w, c := governed(t, func(path string) bool {
		p := lost.Load()
		if p == nil || !strings.HasSuffix(path, *p) {
			return false
		}
		return tried.Add(1) == 1
	})
	record := &lethev1.RecordStandingRequest{Person: somebody(), Type: "lethe.SubjectRestricted", Data: `{"ground": "claims"}`}
	for _, call := range []struct {
		path  string
		make  func() error
		tries int32
	}{
		{"PolicyService/Show", func() error {
			_, err := c.Policy.Show(t.Context(), connect.NewRequest(new(lethev1.ShowPolicyRequest)))
			return err
		}, 2},
		{"SubjectService/Record", func() error {
			_, err := c.Subjects.Record(t.Context(), connect.NewRequest(record))
			return err
		}, 1},
		{"SubjectService/Record", func() error {
			record.Id = event.ID{1}.String()
			_, err := c.Subjects.Record(t.Context(), connect.NewRequest(record))
			return err
		}, 2},
		{"PolicyService/Set", func() error {
			_, err := c.Policy.Set(t.Context(), connect.NewRequest(&lethev1.SetPolicyRequest{Document: []byte(policyOfPersons)}))
			return err
		}, 1},
	} {
		lost.Store(&call.path)
		tried.Store(0)
		err := call.make()
		if n := tried.Load(); n != call.tries || (err == nil) != (n == 2) || err != nil && !errors.Is(err, event.ErrUnknown) {
			t.Errorf("%s: %d tries, %v", call.path, n, err)
		}
	}
	restrictions := 0
	for _, e := range w.all(t) {
		if e.Type == "lethe.SubjectRestricted" {
			restrictions++
		}
	}
	if restrictions != 2 {
		t.Errorf("%d restrictions are in the log", restrictions)
	}
}
