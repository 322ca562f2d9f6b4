package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
)

// Personal is a personal value in a payload struct: there, not there, or withheld, with the reason. It never prints
// its value. As JSON it is its value or null; one that is withheld cannot be appended. Use it with omitzero.
//
//	type Registered struct {
//		Name event.Personal[string] `json:"name,omitzero"`
//	}
//	var r Registered
//	err := e.Decode(&r) // json.Unmarshal would not know which values are withheld, and takes every null for one
//	if name, ok := r.Name.Value(); ok { … } else { why := r.Name.Withheld().Reason … }
type Personal[T any] struct {
	value T
	state personalState
	why   Withheld
}

type personalState uint8

const (
	personalAbsent personalState = iota
	personalNull                 // there, and null
	personalThere
	personalWithheld
)

// NewPersonal is a value that is there.
func NewPersonal[T any](value T) Personal[T] {
	return Personal[T]{value: value, state: personalThere}
}

// Value is the value, and whether it may be seen and is there.
func (p Personal[T]) Value() (value T, ok bool) { return p.value, p.state == personalThere }

// Withheld says why the value is not shown; the zero Withheld if nothing is withheld.
func (p Personal[T]) Withheld() Withheld { return p.why }

// IsZero reports whether the value was never there.
func (p Personal[T]) IsZero() bool { return p.state == personalAbsent }

// IsNull reports whether it is there, and null.
func (p Personal[T]) IsNull() bool { return p.state == personalNull }

// String says how the value is, never what.
func (p Personal[T]) String() string {
	switch p.state {
	case personalThere:
		return "personal (there)"
	case personalNull:
		return "personal (null)"
	case personalWithheld:
		return "personal (" + string(p.why.Reason) + ")"
	}
	return "personal (absent)"
}

// GoString is String.
func (p Personal[T]) GoString() string { return p.String() }

// Format is String for every verb.
func (p Personal[T]) Format(f fmt.State, _ rune) { fmt.Fprint(f, p.String()) }

// LogValue is String.
func (p Personal[T]) LogValue() slog.Value { return slog.StringValue(p.String()) }

// PersonalType is the type of the value, for who derives a schema.
func (p Personal[T]) PersonalType() reflect.Type { return reflect.TypeFor[T]() }

// MarshalJSON is the value's JSON, or null. A value that is withheld is ErrInvalid: appending it would lose it.
func (p Personal[T]) MarshalJSON() ([]byte, error) {
	switch p.state {
	case personalThere:
		return json.Marshal(p.value)
	case personalWithheld:
		return nil, Invalid("value_withheld", "encode personal value: it is withheld (%s)", p.why.Reason).
			Hint("leave it out, or read it for a purpose that may open it")
	}
	return []byte("null"), nil
}

// UnmarshalJSON reads a value. A null is taken for a value that is withheld, which Event.Decode sets right.
func (p *Personal[T]) UnmarshalJSON(b []byte) error {
	*p = Personal[T]{}
	if string(bytes.TrimSpace(b)) == "null" {
		p.state, p.why = personalWithheld, Withheld{Reason: WithheldSealed}
		return nil
	}
	if json.Unmarshal(b, &p.value) != nil { // its error would hold the value
		return Invalid("wrong_type", "decode personal value: it is not of type %s", reflect.TypeFor[T]())
	}
	p.state = personalThere
	return nil
}

// personal is what Decode needs of every Personal.
type personal interface{ settle(why *Withheld) }

// settle says of a value that was null whether it is withheld.
func (p *Personal[T]) settle(why *Withheld) {
	switch {
	case why != nil:
		*p = Personal[T]{state: personalWithheld, why: *why}
	case p.state == personalWithheld:
		p.state, p.why = personalNull, Withheld{}
	}
}

// Decode reads the event's JSON data into v, a pointer, and tells every Personal in it whether it is withheld and why.
func (e *Event) Decode(v any) error {
	if e.Format != JSON {
		return Errorf(ErrUnsupported, "decode event %s: its data is not JSON", e.ID).
			Hint("decode it with the message its schema names")
	}
	if len(e.Data) == 0 {
		return nil
	}
	if err := json.Unmarshal(e.Data, v); err != nil {
		return decodeError(e, err)
	}
	d := decoded{withheld: make(map[string]*Withheld, len(e.Withheld))}
	for i := range e.Withheld {
		d.withheld[e.Withheld[i].Path] = &e.Withheld[i]
	}
	d.walk(reflect.ValueOf(v), "", nil)
	return nil
}

// decodeError leaves out what the decoder says of values.
func decodeError(e *Event, err error) error {
	code := Code(err)
	if code == "internal" {
		code = "wrong_type"
	}
	return &Error{Sentinel: ErrInvalid, Code: code,
		Message: fmt.Sprintf("decode event %s (%s): its data does not fit the type", e.ID, e.Type),
		Next:    "compare the type with the schema of the event"}
}
