package phrase

import (
	"strings"

	"github.com/spf13/pflag"

	"github.com/lethe-es/lethe/event"
)

// Referred is the flag --ref-file: an id that identifies somebody directly, such as an e-mail address, does not belong
// on a command line. There kind/- stands, and the id in a file. Who uses it reads File, if one is named, and gives what
// is in it to Give before anything is parsed.
type Referred struct {
	File string

	ref   string
	given bool
	used  bool
}

// Register adds the flag.
func (r *Referred) Register(flags *pflag.FlagSet) {
	flags.StringVar(&r.File, "ref-file", "",
		"the id of customer/- is in this `file`, or -: standard input; for e-mail addresses and the like")
}

// Give says what the id - stands for.
func (r *Referred) Give(ref string) { r.ref, r.given = ref, true }

// Left refuses a reference that nothing asked for.
func (r *Referred) Left() error {
	if r.given && !r.used {
		return event.Invalid("usage", "--ref-file gives the id of an entity, and none is named with the id -").
			Hint("write customer/- where its id belongs")
	}
	return nil
}

// Stream reads kind/id.
func (r *Referred) Stream(text string) (event.StreamID, error) {
	s, err := event.ParseStream(text)
	if err != nil {
		return s, seen(err)
	}
	return s, r.fill(s.Kind, &s.ID)
}

// Relation reads role=kind/id.
func (r *Referred) Relation(text string) (event.Relation, error) {
	link, err := event.ParseRelation(text)
	if err != nil {
		return link, seen(err)
	}
	return link, r.fill(link.Kind, &link.ID)
}

// related reads [role=]kind/id; without a role it means any.
func (r *Referred) related(text string) (event.Relation, error) {
	equals, slash := strings.IndexByte(text, '='), strings.IndexByte(text, '/')
	if equals >= 0 && equals < slash {
		return r.Relation(text)
	}
	s, err := r.Stream(text)
	if event.Code(err) == "malformed_stream" {
		return event.Relation{}, event.Invalid("malformed_relation",
			"parse relation: want kind/id or role=kind/id, such as issuer=employee/112")
	}
	return event.Relation{Kind: s.Kind, ID: s.ID}, err
}

// fill puts the reference in the place of -. Without one it is refused: as an id it would make all whose reference was
// forgotten into one person.
func (r *Referred) fill(kind string, id *string) error {
	if *id != "-" {
		return nil
	}
	if !r.given {
		return event.Invalid("usage", "read command line: %s/- stands for the id that --ref-file gives, and it is not there",
			kind).Hint("add --ref-file FILE, or - for standard input")
	}
	r.used = true
	*id = r.ref
	return event.Stream(kind, r.ref).ValidateForm()
}

// seen says of an id that identifies directly that others see command lines.
func seen(err error) error {
	if event.Code(err) != "personal_reference" {
		return err
	}
	return event.Invalid("personal_reference", "read command line: an id looks like an e-mail address, and command lines "+
		"are kept and can be seen").Hint("write customer/- and give the id of a person by --ref-file FILE, or - for " +
		"standard input; use opaque ids for everything else")
}

// ParseActor reads who acts: kind/id.
func ParseActor(text string) (event.Actor, error) {
	_, err := event.ParseStream(text)
	if event.Code(err) == "personal_reference" {
		return event.Actor{}, event.Invalid("personal_reference", "name actor: the id looks like an e-mail address, and "+
			"command lines and environments are kept and can be seen").
			Hint("use an opaque id, or the alias that lethe subject show tells: employee/krid_…")
	}
	a, err := event.ParseActor(text)
	if err == nil && a.ID == "-" {
		return event.Actor{}, event.Invalid("usage", "name actor: %s/- is nobody, and --ref-file gives the id of no actor",
			a.Kind).Hint("use an opaque id, or the alias that lethe subject show tells: employee/krid_…")
	}
	return a, err
}
