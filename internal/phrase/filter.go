// Package phrase reads what people write on a command line or in a file of JSON Lines: filters, relations, versions,
// times, ages, events.
//
//	var f phrase.Filter
//	f.Register(cmd.Flags())                                     // --type, --kind, --stream, --relation, …
//	filter, err := f.Parse()
//	filter, err = phrase.ParseMatch("type=SeatTaken relation=flight/LH1") // the same in one text
//	for line, err := range phrase.Lines(os.Stdin) { … }         // events, one a line
//
// Reading is strict: what is not understood is event.ErrInvalid with a code and an example of what would be. Errors
// name the flag or the line, never a value: it may be a misplaced payload.
package phrase

import (
	"strings"

	"github.com/spf13/pflag"

	"github.com/lethe-es/lethe/event"
)

// Filter is flags that say which events are meant. All that is given must hold.
type Filter struct {
	Referred                          // gives ids that do not belong on a command line
	types, kinds, relations, metadata []string
	stream, correlation, causation    string
}

// Register adds a flag for each part.
func (f *Filter) Register(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.types, "type", nil, "of this type; given more than once: of any of them")
	flags.StringArrayVar(&f.kinds, "kind", nil, "in streams of this kind; given more than once: of any of them")
	flags.StringVar(&f.stream, "stream", "", "in this stream, `kind/id`")
	flags.StringArrayVar(&f.relations, "relation", nil,
		"related to this entity, `[role=]kind/id`; given more than once: to all of them")
	flags.StringArrayVar(&f.metadata, "metadata", nil, "with this metadata, `key=value`, of an indexed key")
	flags.StringVar(&f.correlation, "correlation", "", "of this operation")
	flags.StringVar(&f.causation, "causation", "", "caused by this event or command, a `UUID`")
	f.Referred.Register(flags)
}

// Parse is the filter that the flags mean; nil: no flag was given, every event is meant.
func (f *Filter) Parse() (event.Filter, error) {
	m := event.Match{Types: f.types, Kinds: f.kinds, Correlation: f.correlation}
	var err error
	if f.stream != "" {
		if m.Stream, err = f.Stream(f.stream); err != nil {
			return nil, err
		}
	}
	for _, text := range f.relations {
		r, err := f.related(text)
		if err != nil {
			return nil, err
		}
		m.Relations = append(m.Relations, r)
	}
	if m.Metadata, err = ParsePairs("metadata", f.metadata); err != nil {
		return nil, err
	}
	if f.causation != "" {
		if m.Causation, err = event.ParseID(f.causation); err != nil {
			return nil, err
		}
	}
	if len(m.Types)+len(m.Kinds) == 0 && m.Stream.IsZero() && !m.NeedsBody() {
		return nil, nil
	}
	filter := event.Filter{m}
	return filter, filter.Validate()
}

// Match reads the filter of --if-none, as ParseMatch, where the id - stands for the reference.
func (r *Referred) Match(text string) (event.Filter, error) {
	f := Filter{Referred: *r}
	filter, err := f.match(text)
	r.used = r.used || f.used
	return filter, err
}

// ParsePairs reads key=value; a key may come once.
func ParsePairs(what string, pairs []string) (map[string]string, error) {
	if len(pairs) == 0 {
		return nil, nil
	}
	m := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, event.Invalid("malformed_"+what, "parse %s: want key=value", what)
		}
		if _, twice := m[key]; twice {
			return nil, event.Invalid("malformed_"+what, "parse %s: a key is given twice", what)
		}
		m[key] = value
	}
	return m, nil
}

// ParseMatch reads the filter of --if-none: words such as type=T, kind=K, stream=kind/id, relation=[role=]kind/id,
// metadata=key=value, correlation=X and causation=UUID, parted by spaces. A word with spaces stands in double quotes.
func ParseMatch(text string) (event.Filter, error) { return new(Filter).match(text) }

func (f *Filter) match(text string) (event.Filter, error) {
	words, err := splitWords(text)
	if err != nil {
		return nil, err
	}
	texts := map[string]*string{"stream": &f.stream, "correlation": &f.correlation, "causation": &f.causation}
	lists := map[string]*[]string{"type": &f.types, "kind": &f.kinds, "relation": &f.relations, "metadata": &f.metadata}
	for _, word := range words {
		name, value, ok := strings.Cut(word, "=")
		list, text := lists[name], texts[name]
		switch {
		case !ok || list == nil && text == nil:
			return nil, event.Invalid("malformed_filter", "parse filter: a word is not one of "+
				"type=, kind=, stream=, relation=, metadata=, correlation=, causation=")
		case list != nil:
			*list = append(*list, value)
		case *text != "":
			return nil, event.Invalid("malformed_filter", "parse filter: %s is given twice", name)
		default:
			*text = value
		}
	}
	if len(words) == 0 {
		return nil, event.Invalid("malformed_filter", "parse filter: it is empty")
	}
	return f.Parse()
}

func splitWords(text string) ([]string, error) {
	var words []string
	var word strings.Builder
	quoted, begun := false, false
	for _, r := range text {
		switch {
		case r == '"':
			quoted, begun = !quoted, true
		case r == ' ' && !quoted:
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	if quoted {
		return nil, event.Invalid("malformed_filter", "parse filter: a quote is not closed")
	}
	if begun {
		words = append(words, word.String())
	}
	return words, nil
}
