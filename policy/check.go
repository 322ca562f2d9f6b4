package policy

import (
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/schema"
)

// checker collects what is wrong with a document that was read.
type checker struct {
	*Document
	found *Problems
}

func checkDocument(d *Document, found *Problems) {
	c := checker{d, found}
	c.kinds()
	c.groups()
	c.classes()
	c.parties()
	c.purposes()
	c.collections()
	c.metadata()
	c.codes("reasons", d.Reasons)
}

// each visits the entries of a section by name, with their places, after checking the name and the title.
func each[T any](c checker, section string, m map[string]T, visit func(place, name string, one T)) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		place := within(section, name)
		if !isName(name, "_-") {
			c.found.add(place, "want a name: a letter, then letters, digits, _ and -, at most 64")
			continue
		}
		visit(place, name, m[name])
	}
}

func (c checker) kinds() {
	types := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(c.Kinds)) {
		place, k := within("kinds", name), c.Kinds[name]
		c.title(place+".title", k.Title)
		typ := entityType(name)
		switch {
		case !isName(name, "_.-:"):
			c.found.add(place, "want a kind: a letter, then letters, digits and _ . - :, at most 64")
		case name == event.SystemKind || strings.HasPrefix(name, event.SystemKind+"."):
			c.found.add(place, "the kind belongs to Lethe itself")
		case reservedType(typ):
			c.found.add(place, "rules could not tell it from a word of their own; choose another kind")
		case types[typ] != "":
			c.found.add(place, "rules could not tell it from kind %s: both read as %s there", types[typ], typ)
		default:
			types[typ] = name
		}
		c.oneOf(place+".normalise", string(k.Normalise), string(Exact), string(Lower), string(Email))
		if k.Normalise != "" && !k.Person {
			c.found.add(place+".normalise", "only references to persons are normalised; add person: true")
		}
	}
}

func (c checker) groups() {
	each(c, "groups", c.Groups, func(place, name string, g Group) {
		c.title(place+".title", g.Title)
		if name == Reference {
			c.found.add(place, "the name is taken: it stands for the references of persons")
		}
		c.oneOf(place+".category", string(g.Category), string(schema.Special), string(schema.Criminal),
			string(schema.Child), string(schema.Location), string(schema.Financial))
	})
}

func (c checker) classes() {
	each(c, "retention", c.Retention, func(place, _ string, r Retention) {
		c.title(place+".title", r.Title)
		c.title(place+".triggered", r.Triggered)
		c.oneOf(place+".granularity", string(r.Granularity), string(Day), string(Month), string(Year))
		switch {
		case (r.Period == "") == (r.Triggered == ""):
			c.found.add(place, "want either a period or, in triggered, what ends it")
		case r.Triggered != "" && r.Granularity != "":
			c.found.add(place+".granularity", "only the end of a period is rounded")
		}
		if _, ok := readPeriod(r.Period); r.Period != "" && !ok {
			c.found.add(place+".period", "want an ISO 8601 period of days or longer, up to 200 years, such as P3Y or P1Y6M")
		}
	})
}

func (c checker) parties() {
	each(c, "controllers", c.Controllers, func(place, _ string, p Controller) {
		c.name(place, p.Name)
		c.clean(place+".contact", p.Contact)
		c.clean(place+".officer", p.Officer)
		c.country(place+".country", p.Country)
	})
	each(c, "processors", c.Processors, func(place, name string, p Processor) {
		c.name(place, p.Name)
		c.clean(place+".contact", p.Contact)
		c.country(place+".country", p.Country)
		c.controller(place+".controller", p.Controller)
		if _, both := c.Controllers[name]; both {
			c.found.add(place, "a controller has the same name; recipients could not tell them apart")
		}
	})
}

func (c checker) name(place, name string) {
	if name == "" {
		c.found.add(place, "want a name")
	}
	c.title(place+".name", name)
}

func (c checker) purposes() {
	each(c, "purposes", c.Purposes, func(place, name string, u Purpose) {
		c.title(place+".title", u.Title)
		if u.Basis == "" {
			c.found.add(place+".basis", "want a lawful basis: one of %s", strings.Join(bases(), ", "))
		}
		c.oneOf(place+".basis", string(u.Basis), bases()...)
		c.oneOf(place+".special", u.Special, "a", "b", "c", "d", "e", "f", "g", "h", "i", "j")
		c.oneOf(place+".criminal", string(u.Criminal), string(UnderAuthority), string(ByLaw))
		if u.Retention != "" {
			known(c, place+".retention", u.Retention, "retention class", c.Retention)
		}
		c.controller(place+".controller", u.Controller)
		c.purposeGroups(place, u)
		c.purposeParties(place, u)
		c.purposeWords(place, u)
	})
}

func bases() []string {
	return []string{string(Consent), string(Contract), string(LegalObligation), string(VitalInterests),
		string(PublicTask), string(LegitimateInterests)}
}

func (c checker) purposeGroups(place string, u Purpose) {
	c.unique(place+".groups", u.Groups)
	for i, g := range u.Groups {
		if g == Reference {
			continue
		}
		here := at(place+".groups", i)
		known(c, here, g, "group", c.Groups)
		switch c.Groups[g].Category {
		case schema.Special:
			if u.Special == "" {
				c.found.add(here, "group %s is special: the purpose needs a condition of Article 9(2), in special", g)
			}
		case schema.Criminal:
			if u.Criminal == "" {
				c.found.add(here, "group %s is criminal: the purpose needs a ground of Article 10, in criminal", g)
			}
		}
	}
}

func (c checker) purposeParties(place string, u Purpose) {
	c.unique(place+".processors", u.Processors)
	c.unique(place+".recipients", u.Recipients)
	for i, name := range u.Processors {
		known(c, at(place+".processors", i), name, "processor", c.Processors)
	}
	for i, name := range u.Recipients {
		if _, ok := c.Controllers[name]; !ok {
			known(c, at(place+".recipients", i), name, "processor or controller", c.Processors)
		}
	}
}

func (c checker) purposeWords(place string, u Purpose) {
	c.codes(place+".reasons", u.Reasons)
	for i, code := range u.Reasons {
		if len(c.Reasons) > 0 && isCode(code) && !slices.Contains(c.Reasons, code) {
			c.found.add(at(place+".reasons", i), "reason %s is not in the list of reasons", code)
		}
	}
	c.version(place+".notice", u.Notice)
	if u.Renew && u.Notice == "" {
		c.found.add(place+".renew", "want the version of the notice that consent must be to, in notice")
	}
	if u.Renew && u.Basis != Consent && u.Special != explicitConsent {
		c.found.add(place+".renew", "only consent is renewed")
	}
	if u.Children && u.Basis != LegitimateInterests {
		c.found.add(place+".children", "only legitimate interests have an exception for children")
	}
}

func (c checker) collections() {
	each(c, "collections", c.Collections, func(place, _ string, k Collection) {
		c.title(place+".title", k.Title)
		if len(k.Purposes) == 0 {
			c.found.add(place+".purposes", "want at least one purpose")
		}
		c.unique(place+".purposes", k.Purposes)
		for i, name := range k.Purposes {
			known(c, at(place+".purposes", i), name, "purpose", c.Purposes)
		}
		if k.Source == "" {
			c.found.add(place+".source", "want person or third-party")
		}
		c.oneOf(place+".source", string(k.Source), string(FromPerson), string(ThirdParty))
		c.controller(place+".controller", k.Controller)
		c.version(place+".notice.version", k.Notice.Version)
		if k.Notice.Language != "" && !isLanguage(k.Notice.Language) {
			c.found.add(place+".notice.language", "want a BCP 47 language, such as en or de-AT")
		}
		if k.Notice.Digest != "" && !isDigest(k.Notice.Digest) {
			c.found.add(place+".notice.digest", "want SHA-256 as 64 digits of lower-case hex")
		}
	})
}

func (c checker) metadata() {
	for _, key := range slices.Sorted(maps.Keys(c.Metadata)) {
		place, m := within("metadata", key), c.Metadata[key]
		if !isName(key, "_.-:") {
			c.found.add(place, "want a metadata key: a letter, then letters, digits and _ . - :, at most 64")
		}
		known(c, place+".group", m.Group, "group", c.Groups)
		if m.Retention != "" {
			known(c, place+".retention", m.Retention, "retention class", c.Retention)
		}
		if !isName(m.Subject, "_.-:") {
			c.found.add(place+".subject", "want the role of the relation that names the person, such as issuer")
		}
	}
}

// known wants a name to be declared in a section.
func known[T any](c checker, place, name, what string, section map[string]T) {
	if _, ok := section[name]; ok {
		return
	}
	if !isName(name, "_-") {
		c.found.add(place, "want the name of a %s", what)
		return
	}
	c.found.add(place, "%s %s is not declared", what, name)
}

func (c checker) controller(place, name string) {
	if name != "" {
		known(c, place, name, "controller", c.Controllers)
	}
}

func (c checker) oneOf(place, word string, words ...string) {
	if word != "" && !slices.Contains(words, word) {
		c.found.add(place, "want one of %s", strings.Join(words, ", "))
	}
}

func (c checker) unique(place string, list []string) {
	seen := map[string]bool{}
	for i, s := range list {
		if seen[s] {
			c.found.add(at(place, i), "the entry is repeated")
		}
		seen[s] = true
	}
}

func (c checker) codes(place string, list []string) {
	c.unique(place, list)
	for i, code := range list {
		if !isCode(code) {
			c.found.add(at(place, i), "want a code: a small letter, then small letters, digits and -, 2 to 40")
		}
	}
}

func (c checker) title(place, s string) {
	c.clean(place, s)
	if holdsEmail(s) {
		c.found.add(place, "it holds an e-mail address, and stays readable in the log for ever; name an office instead")
	}
}

// clean wants a text of one line that can be printed.
func (c checker) clean(place, s string) {
	for _, r := range s {
		if !unicode.IsPrint(r) {
			c.found.add(place, "want one line of printable text")
			return
		}
	}
}

func (c checker) version(place, s string) {
	if s != "" && !isVersion(s) {
		c.found.add(place, "want a version: 1 to 40 letters, digits and . _ -")
	}
}

func (c checker) country(place, s string) {
	if s != "" && !isJurisdiction(s) {
		c.found.add(place, "want a country of ISO 3166, such as DE")
	}
}
