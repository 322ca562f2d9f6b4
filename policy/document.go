package policy

import (
	"encoding/json"

	"github.com/lethe-es/lethe/schema"
)

// Reference is the pseudo-group of references: the names (customer/4711) behind aliases.
const Reference = "reference"

// Limits of a document. They bound what reading and asking it may cost.
const (
	MaxDocumentBytes = 512 << 10 // as it is handed in, and in canonical form
	MaxRuleBytes     = 128 << 10 // rules, together
	MaxRules         = 500
	MaxEntities      = 5000
	MaxNames         = 500 // entries of one section, such as purposes
	MaxList          = 100 // entries of one list, such as the groups of a purpose
	MaxTextBytes     = 2000
)

// DocumentVersion is the only version of documents there is.
const DocumentVersion = 1

// Document is the policy of a store, as a data protection officer writes it. Maps go from names to what they name; a
// name is a small letter, then small letters, digits and hyphens (kinds and metadata keys: as events have them). Titles
// and contacts are texts for people, and stay in the log for ever: they name offices, not persons.
type Document struct {
	Version     int                   `json:"version"` // DocumentVersion
	Kinds       map[string]Kind       `json:"kinds,omitempty"`
	Groups      map[string]Group      `json:"groups,omitempty"`
	Retention   map[string]Retention  `json:"retention,omitempty"` // classes
	Controllers map[string]Controller `json:"controllers,omitempty"`
	Processors  map[string]Processor  `json:"processors,omitempty"`
	Collections map[string]Collection `json:"collections,omitempty"`
	Purposes    map[string]Purpose    `json:"purposes,omitempty"`
	Metadata    map[string]Metadata   `json:"metadata,omitempty"` // personal metadata, by key
	Reasons     []string              `json:"reasons,omitempty"`  // codes that a reason may have; empty: any
	Entities    json.RawMessage       `json:"entities,omitempty"` // Cedar entities, a JSON array
	Rules       string                `json:"rules,omitzero"`     // Cedar policies
}

// Kind is a kind of entity. Actors are of kinds that are declared.
type Kind struct {
	Title     string    `json:"title,omitzero"`
	Person    bool      `json:"person,omitzero"`
	Normalise Normalise `json:"normalise,omitzero"` // of references to persons; empty: exact
}

// Normalise says which spellings of a reference are the same person.
type Normalise string

// The ways to normalise references.
const (
	Exact Normalise = "exact" // byte for byte
	Lower Normalise = "lower" // whatever the case, in Unicode's composed form
	Email Normalise = "email" // Lower, and it must look like an e-mail address
)

// Group is a set of personal fields that are handled alike.
type Group struct {
	Title       string          `json:"title,omitzero"`
	Category    schema.Category `json:"category,omitzero"`
	Undisclosed bool            `json:"undisclosed,omitzero"` // not listed as withheld for whom it is not granted
}

// Retention is how long something is kept: a period from when it was recorded, occurred or what its schema says, or
// until something happens.
type Retention struct {
	Title       string      `json:"title,omitzero"`
	Period      string      `json:"period,omitzero"`      // ISO 8601, such as P3Y or P1Y6M; no times of day
	Granularity Granularity `json:"granularity,omitzero"` // of a period; empty: month
	Triggered   string      `json:"triggered,omitzero"`   // says in words what ends it
}

// Granularity is to what the end of a retention period is rounded up. One key serves all that ends together.
type Granularity string

// The granularities.
const (
	Day   Granularity = "day"
	Month Granularity = "month"
	Year  Granularity = "year"
)

// Controller decides why and how personal data is processed (GDPR, Article 4(7)).
type Controller struct {
	Name    string `json:"name"`
	Contact string `json:"contact,omitzero"`
	Officer string `json:"officer,omitzero"` // how to reach its data protection officer
	Country string `json:"country,omitzero"` // ISO 3166-1 alpha-2
}

// Processor processes personal data for a controller (GDPR, Article 4(8)).
type Processor struct {
	Name       string `json:"name"`
	Contact    string `json:"contact,omitzero"`
	Controller string `json:"controller,omitzero"` // for whom; empty: for whom it is named
	Country    string `json:"country,omitzero"`
}

// Source says from whom personal data comes.
type Source string

// The sources.
const (
	FromPerson Source = "person"      // Article 13 of the GDPR: the person was informed when giving it
	ThirdParty Source = "third-party" // Article 14: the person is to be informed within a month
)

// Collection is a registered context in which personal data is collected.
type Collection struct {
	Title      string   `json:"title,omitzero"`
	Purposes   []string `json:"purposes"`
	Notice     Notice   `json:"notice,omitzero"`
	Source     Source   `json:"source"`
	Controller string   `json:"controller,omitzero"`
}

// Indirect reports whether the person has yet to be told (GDPR, Article 14).
func (c Collection) Indirect() bool { return c.Source == ThirdParty }

// Notice is a text in which people are told what is done with their data.
type Notice struct {
	Version  string `json:"version,omitzero"`
	Language string `json:"language,omitzero"` // BCP 47, such as en or de-AT
	Digest   string `json:"digest,omitzero"`   // SHA-256 of the text, 64 digits of lower-case hex
}

// Basis is a lawful basis: a letter of Article 6(1) of the GDPR.
type Basis string

// The lawful bases.
const (
	Consent             Basis = "consent"              // (a)
	Contract            Basis = "contract"             // (b)
	LegalObligation     Basis = "legal-obligation"     // (c)
	VitalInterests      Basis = "vital-interests"      // (d)
	PublicTask          Basis = "public-task"          // (e)
	LegitimateInterests Basis = "legitimate-interests" // (f)
)

// CriminalGround is what allows to process data on convictions and offences (GDPR, Article 10).
type CriminalGround string

// The grounds of Article 10.
const (
	UnderAuthority CriminalGround = "authority" // under the control of official authority
	ByLaw          CriminalGround = "law"       // authorised by the law of the Union or a Member State
)

// Purpose is what personal data is used for.
type Purpose struct {
	Title       string         `json:"title,omitzero"`
	Basis       Basis          `json:"basis"`
	Groups      []string       `json:"groups,omitempty"`
	Special     string         `json:"special,omitzero"`  // letter of Article 9(2), a to j, for special categories
	Criminal    CriminalGround `json:"criminal,omitzero"` // for convictions and offences
	Retention   string         `json:"retention,omitzero"`
	Notice      string         `json:"notice,omitzero"` // version of the notice that is valid now
	Renew       bool           `json:"renew,omitzero"`  // consent to another version of the notice does not count
	Controller  string         `json:"controller,omitzero"`
	Processors  []string       `json:"processors,omitempty"`
	Recipients  []string       `json:"recipients,omitempty"` // processors or controllers
	Reasons     []string       `json:"reasons,omitempty"`    // codes; if there are some, a reason must be given
	Marketing   bool           `json:"marketing,omitzero"`   // direct marketing (Article 21(2))
	Exempt      bool           `json:"exempt_from_restriction,omitzero"`
	Children    bool           `json:"children,omitzero"`    // legitimate interests hold for children too
	Undisclosed bool           `json:"undisclosed,omitzero"` // it does not exist for whom nothing is granted for it
}

// Metadata declares a metadata key of events to be personal.
type Metadata struct {
	Group     string `json:"group"`
	Retention string `json:"retention,omitzero"`
	Subject   string `json:"subject"` // role of the relation that names whose it is, such as issuer
}
