package policy

import (
	"encoding/hex"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/lethe-es/lethe/event"
)

// Receipt is what a person is handed of a consent record: its content, arranged and named after the receipts of ISO/IEC
// TS 27560, and nothing else. It holds names and codes of the policy, not their titles, which could change.
type Receipt struct {
	SchemaVersion string            `json:"schema_version"` // lethe-consent-receipt/1
	RecordID      event.ID          `json:"record_id"`
	RecordedAt    time.Time         `json:"recorded_at"`
	Leaf          string            `json:"leaf,omitzero"` // of the record in the log's tree, hex
	Principal     event.KRID        `json:"pii_principal_id"`
	Processing    ReceiptProcessing `json:"pii_processing"`
	Events        []ReceiptEvent    `json:"events"`
}

// ReceiptProcessing says what was asked.
type ReceiptProcessing struct {
	Notice       Notice   `json:"privacy_notice"`
	Purpose      string   `json:"purpose"`
	Basis        Basis    `json:"lawful_basis"`
	Groups       []string `json:"pii_information,omitempty"` // empty: all that the purpose uses
	Controller   string   `json:"pii_controller"`
	Method       string   `json:"collection_method"`
	Recipients   []string `json:"recipient_third_parties,omitempty"`
	Jurisdiction string   `json:"jurisdiction,omitzero"`
	Withdrawal   string   `json:"withdrawal_method,omitzero"`
}

// ReceiptEvent says what was answered, when, and by whom.
type ReceiptEvent struct {
	Time  time.Time     `json:"event_time"`
	Type  string        `json:"event_type"` // explicit or consent
	State ConsentAnswer `json:"event_state"`
	Until time.Time     `json:"valid_until,omitzero"`
	By    event.KRID    `json:"entity_id"` // the person, or the guardian
	Case  string        `json:"case,omitzero"`
}

// receiptVersion names the form of receipts.
const receiptVersion = "lethe-consent-receipt/1"

// NewReceipt makes the receipt of a lethe.ConsentRecorded event that is in the log.
func NewReceipt(e *event.Event) (*Receipt, error) {
	if e.Type != TypeConsentRecorded {
		return nil, event.Invalid("no_consent_record", "make consent receipt: event %s is no consent record", e.ID)
	}
	parsed, err := ParseRecord(e.Type, e.Data)
	if err != nil {
		return nil, err
	}
	r, ok := parsed.(ConsentRecorded)
	if !ok || e.Stream != Stream(r.Principal) {
		return nil, event.Invalid("principal_mismatch",
			"make consent receipt: event %s is not in the stream of its person", e.ID)
	}
	by, kind := r.Principal, "consent"
	if !r.Guardian.IsZero() {
		by = r.Guardian
	}
	if r.Explicit {
		kind = "explicit"
	}
	out := &Receipt{
		SchemaVersion: receiptVersion, RecordID: e.ID, RecordedAt: micros(e.RecordedAt), Principal: r.Principal,
		Processing: ReceiptProcessing{
			Notice: r.Notice, Purpose: r.Purpose, Basis: r.Basis, Groups: r.Groups, Controller: r.Controller,
			Method: r.Method, Recipients: r.Recipients, Jurisdiction: r.Jurisdiction, Withdrawal: r.Withdrawal,
		},
		Events: []ReceiptEvent{{Time: r.At, Type: kind, State: r.State, Until: r.Until, By: by, Case: r.Case}},
	}
	if e.Leaf != ([32]byte{}) {
		out.Leaf = hex.EncodeToString(e.Leaf[:])
	}
	return out, nil
}

// JSON is the receipt for programs, indented.
func (r *Receipt) JSON() ([]byte, error) {
	return json.Marshal(r, json.Deterministic(true), jsontext.WithIndent("  "))
}

// Text is the receipt for people: one fact a line.
func (r *Receipt) Text() string {
	var b strings.Builder
	line := func(label, value string) {
		if value != "" {
			b.WriteString(label + strings.Repeat(" ", max(1, 16-len(label))) + value + "\n")
		}
	}
	p, e := r.Processing, r.Events[0]
	b.WriteString("Consent receipt\n\n")
	line("record", r.RecordID.String())
	line("recorded", moment(r.RecordedAt))
	line("leaf", r.Leaf)
	line("person", r.Principal.String())
	line("answer", string(e.State))
	line("kind of consent", e.Type)
	line("answered", moment(e.Time))
	if e.By != r.Principal {
		line("by guardian", e.By.String())
	}
	line("valid until", moment(e.Until))
	line("purpose", p.Purpose)
	line("lawful basis", string(p.Basis))
	line("data", strings.Join(p.Groups, ", "))
	line("controller", p.Controller)
	line("recipients", strings.Join(p.Recipients, ", "))
	line("notice", strings.TrimSpace("version "+p.Notice.Version+", "+p.Notice.Language))
	line("notice digest", p.Notice.Digest)
	line("collected by", p.Method)
	line("jurisdiction", p.Jurisdiction)
	line("withdraw by", p.Withdrawal)
	line("case", e.Case)
	return b.String()
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
