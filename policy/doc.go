// Package policy decides what personal data may be held and opened: it is the document a data protection officer
// writes (purposes with their lawful basis, data groups, retention classes, access rules) and what persons have said
// (consents, withdrawals, objections, restrictions). It reports what was declared and decided; it is no legal advice.
//
// It is pure: it touches no disk, no clock, no key and no personal value. Documents and rules are hostile input.
//
//	d, err := policy.ParseDocument(text)     // every problem at once, each with its place
//	p, err := policy.New(d)                  // compiled, immutable, safe for concurrent use
//	g, err := p.Grant(event.Opening{Actor: clerk, Purpose: "support", Reason: "ticket 7"})
//	why := g.Person("contact", standing, now) // "": open it; else why it is withheld
//
// # The document
//
// One document per store, the data of a [TypeSet] event; the last one counts. docs/policy.md explains each field to
// those who write it, docs/format/policy.md gives its canonical form and the data of every event of this package.
// A person kind is turned into aliases ([event.KRID]); a group is a set of personal fields that are handled alike; a
// purpose covers groups. The pseudo-group [Reference] stands for the names (customer/4711) behind aliases.
//
// # Who may open what
//
// [Policy.Grant] answers for each batch, remembered per actor, purpose and reason: is there such a purpose, is the
// reason one it takes, and which of its groups do the rules permit? Rules are Cedar: principal is Kind::"id" of the
// actor, action is Action::"open", resource is Group::"contact", context holds purpose, reason, case and kind. No rule,
// no opening; a rule that fails denies.
//
// [Grant.Person] answers per person. Verdicts come in this order, the first that applies counts:
//
//  1. [Undisclosed]: the group is undisclosed and not granted. It is not shown as withheld either.
//  2. [event.WithheldDenied]: the purpose does not cover the group, or no rule permits it.
//  3. [event.WithheldRestricted]: processing of the group is restricted (GDPR, Article 18), and the purpose is not
//     exempt; or an objection (Article 21) to the purpose has not been decided.
//  4. [event.WithheldDenied]: an objection was upheld, or is one to direct marketing; the purpose stands on legitimate
//     interests and the person is a child; a consent is needed and there is none that holds.
//
// # Standing
//
// What a person has said, reduced to what verdicts need, is a [Standing], kept in the person's keyring record.
// [Standing.Apply] folds the person's system events into it. What narrows is kept in whatever order events come, and
// twice is as good as once; what widens (a release, a balancing) counts only where what it ends is known.
package policy
