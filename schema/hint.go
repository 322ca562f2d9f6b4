package schema

import (
	"slices"
	"strings"
)

// hint is what a word in a name tells.
type hint struct {
	why   string
	words string // separated by spaces; a+b: both, one after the other
	mark  Mark
	open  Reason
}

// hints are tried in order; what leads to a person comes before what leads away.
func hints() []hint {
	return append(personalHints(),
		hint{"sorts things", "currency status state type kind category channel language locale country code level stage",
			Mark{}, Classification},
		hint{"counts or measures", "count quantity number size length weight duration minutes hours days percent rate",
			Mark{}, Quantity},
		hint{"part of what was agreed", "amount price cost fee total discount interest limit", Mark{}, BusinessFact},
		hint{"of the machinery", "version revision checksum hash schema flag", Mark{}, Technical},
		hint{"says when", "at on date time timestamp created updated due valid from until since", Mark{}, Timing},
		hint{"seems to name a thing", "id ref reference uuid key no", Mark{}, ThingID})
}

func personalHints() []hint {
	contact := Mark{Group: "contact", Origin: Provided}
	identity := Mark{Group: "identity", Origin: Provided}
	return []hint{
		{"a way to reach a person", "email mail e+mail phone mobile fax telephone tel msisdn handle", contact, ""},
		{"names an account", "iban bic account card pan cvv bank",
			Mark{Group: "finance", Category: Financial, Origin: Provided}, ""},
		{"tells of a person's money", "salary income wage debt credit+score wealth",
			Mark{Group: "finance", Category: Financial, Origin: Provided}, ""},
		{"special category (GDPR, Article 9)", "health diagnosis drug medication disease religion belief ethnicity race " +
			"union sexual biometric genetic disability allergy treatment blood", Mark{Group: "special", Category: Special}, ""},
		{"criminal (GDPR, Article 10)", "conviction offence criminal crime", Mark{Group: "criminal", Category: Criminal}, ""},
		{"tells where somebody is", "latitude longitude lat lon lng gps geo position",
			Mark{Group: "location", Category: Location, Origin: Observed}, ""},
		{"traces a person's device", "ip device cookie fingerprint imei mac user+agent session",
			Mark{Group: "device", Origin: Observed}, ""},
		{"describes a person", "birth birthday born birthdate dob age gender sex nationality citizenship marital " +
			"salutation", identity, ""},
		{"an official number of a person", "ssn passport tax+id national+id social+security ahv tin licence license",
			identity, ""},
		{"part of an address", "address street zip postcode postal city house apartment residence", contact, ""},
		{"free text, in which anything may stand", "note notes comment remark remarks message text description reason " +
			"feedback answer subject body memo", Mark{Group: "notes", FreeText: true}, ""},
		{"shows a person", "photo picture image signature voice video portrait avatar", Mark{Group: "identity"}, ""},
		{"names a thing", "product+name file+name event+name branch+name service+name type+name", Mark{}, Classification},
		{"a person's name", "name firstname lastname surname forename initials maiden nickname alias username login title",
			identity, ""},
	}
}

func (h hint) means(words []string) bool {
	for _, word := range strings.Fields(h.words) {
		first, second, two := strings.Cut(word, "+")
		i := slices.Index(words, first)
		if i >= 0 && (!two || i+1 < len(words) && words[i+1] == second) {
			return true
		}
	}
	return false
}

// persons are words that name a kind of person before id, ref or the like.
func persons() []string {
	return []string{
		"customer", "user", "person", "patient", "employee", "member", "client", "student", "applicant", "owner", "subject",
		"driver", "guest", "tenant", "clerk", "agent", "partner", "child", "guardian", "contact", "citizen",
	}
}
