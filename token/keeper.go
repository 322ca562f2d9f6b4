package token

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"slices"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// maxLabelBytes bounds a label.
const maxLabelBytes = 100

// Keeper gives out, checks and takes back the tokens of one store. Safe for concurrent use. Revocations reach who
// watches (Watch) at once if they go through the same Keeper, so a process has one for each store; those of other
// processes do with the next Recheck.
type Keeper struct {
	tokens storage.Tokens
	clock  event.Clock

	minting sync.Mutex // a source of randomness need not be safe for concurrent use
	rand    io.Reader

	uses    *uses
	watches *watches
}

// New is a keeper of the tokens of a store. It asks clock whether they have expired, and mints of rand.
func New(tokens storage.Tokens, clock event.Clock, rand io.Reader) *Keeper {
	return &Keeper{tokens: tokens, clock: clock, rand: rand, uses: newUses(), watches: newWatches()}
}

// Grant is what a new token shall be.
type Grant struct {
	Label string // what it is for: up to 100 bytes of printable UTF-8, spaces among them; may be empty
	Scope
	Expires time.Time // from then on it is not good any more; zero: never
}

// Create makes a token. The Secret is not kept anywhere: who loses it creates another. A grant that is not sound is
// event.ErrInvalid: malformed_scope, malformed_label, malformed_time.
func (k *Keeper) Create(ctx context.Context, g Grant) (Secret, storage.Token, error) {
	now := event.Micros(k.clock.Now())
	if err := g.validate(now); err != nil {
		return Secret{}, storage.Token{}, err
	}
	k.minting.Lock()
	secret, err := Mint(k.rand)
	k.minting.Unlock()
	if err != nil {
		return Secret{}, storage.Token{}, err
	}
	t := storage.Token{
		ID: secret.id, Hash: secret.hash(), Label: g.Label, Created: now,
		Read: g.Read, Append: g.Append, Admin: g.Admin, Open: g.Open, Kinds: slices.Clone(g.Kinds),
	}
	if !g.Expires.IsZero() {
		t.Expires = event.Micros(g.Expires)
	}
	if err := k.tokens.AddToken(ctx, t); err != nil {
		return Secret{}, storage.Token{}, err
	}
	return secret, t, nil
}

func (g Grant) validate(now int64) error {
	if err := g.Scope.Validate(); err != nil {
		return err
	}
	printable := func(r rune) bool { return r == ' ' || unicode.IsGraphic(r) && !unicode.IsSpace(r) }
	for _, r := range g.Label {
		if !printable(r) {
			return malformedLabel()
		}
	}
	if len(g.Label) > maxLabelBytes || !utf8.ValidString(g.Label) {
		return malformedLabel()
	}
	// Beyond year 9999 no text of a time is read any more, and microseconds overflow at last.
	if !g.Expires.IsZero() && (event.Micros(g.Expires) <= now || g.Expires.Year() > 9999) {
		return event.Invalid("malformed_time", "create token: the time it expires is past, or out of range").
			Hint("give a time to come, or none")
	}
	return nil
}

func malformedLabel() error {
	return event.Invalid("malformed_label", "create token: want a label of up to %d bytes of printable UTF-8",
		maxLabelBytes).Hint("say in a few words what it is for")
}

// Bearer is who showed a good token, and what it allows.
type Bearer struct {
	ID string // of the token
	Scope
	Expires time.Time // what goes on for longer ends then; zero: never
}

// Check says who bears a token. If nobody does it is event.ErrDenied: token_missing, token_malformed, token_unknown,
// token_revoked or token_expired, the last two only for who knows the secret. Any other error is the store's, as it
// is: then nothing is known of the token, and the call must not go on. That the token was used is noted (Flush).
func (k *Keeper) Check(ctx context.Context, text string) (Bearer, error) {
	if text == "" {
		return Bearer{}, denied("token_missing", "check token: there is none", "send one: Authorization: Bearer lethe_…")
	}
	id, key, cause := parse(text)
	if cause != "" {
		return Bearer{}, malformed(event.ErrDenied, "check", cause)
	}
	t, err := k.tokens.Token(ctx, id)
	if err != nil && !errors.Is(err, event.ErrNotFound) {
		return Bearer{}, err
	}
	// Of an unknown id the hash is compared too, with zeros: time shall not tell which ids there are.
	hash := sha256.Sum256(key[:])
	known := subtle.ConstantTimeCompare(hash[:], t.Hash[:]) == 1
	now := event.Micros(k.clock.Now())
	switch {
	case err != nil || !known:
		return Bearer{}, denied("token_unknown", "check token "+id+": this store does not know it",
			"use a token of this store, or create one: lethe token create")
	case t.Revoked != 0:
		return Bearer{}, denied("token_revoked", "check token "+id+": it was revoked",
			"create another: lethe token create")
	case t.Expires != 0 && now >= t.Expires:
		return Bearer{}, denied("token_expired", "check token "+id+": it has expired",
			"create another: lethe token create")
	}
	k.uses.note(&t, now)
	return bearer(t), nil
}

func denied(code, message, next string) error {
	return &event.Error{Sentinel: event.ErrDenied, Code: code, Message: message, Next: next}
}

func bearer(t storage.Token) Bearer {
	b := Bearer{ID: t.ID, Scope: ScopeOf(t)}
	if t.Expires != 0 {
		b.Expires = event.FromMicros(t.Expires)
	}
	return b
}

// List is all tokens by id, revoked and expired ones among them, with uses that are not flushed yet.
func (k *Keeper) List(ctx context.Context) ([]storage.Token, error) {
	list, err := k.tokens.Tokens(ctx)
	if err != nil {
		return nil, err
	}
	k.uses.show(list)
	return list, nil
}

// Revoke ends a token for ever: no later Check accepts it, and who watches it learns of it before Revoke returns.
// Revoking again changes nothing. An id that is not there is event.ErrNotFound.
func (k *Keeper) Revoke(ctx context.Context, id string) (storage.Token, error) {
	t, err := k.tokens.RevokeToken(ctx, id, event.Micros(k.clock.Now()))
	if err == nil || errors.Is(err, event.ErrUnknown) { // it may be revoked, and that is what was wanted
		k.watches.end(id)
	}
	return t, err
}

// Flush writes the uses noted since the last one, in one go; nothing if there are none. What could not be written is
// kept for the next one. A server calls it every so often and when it ends; what is lost in a crash is when tokens
// were last used.
func (k *Keeper) Flush(ctx context.Context) error {
	noted := k.uses.take()
	if len(noted) == 0 {
		return nil
	}
	err := k.tokens.UseTokens(ctx, noted)
	if err != nil {
		k.uses.giveBack(noted)
	}
	return err
}

// Recheck looks every watched token up again, and ends the watches of those that another process revoked. A server of a
// store that several processes serve calls it every so often; where a lookup fails, that token's watches go on.
func (k *Keeper) Recheck(ctx context.Context) error {
	var failed []error
	for _, id := range k.watches.watched() {
		t, err := k.tokens.Token(ctx, id)
		switch {
		case errors.Is(err, event.ErrNotFound) || err == nil && t.Revoked != 0:
			k.watches.end(id)
		case err != nil:
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// Watch gives a channel that is closed when the token is revoked; if it is already, the channel is closed from the
// beginning, so nothing is missed between Check and Watch. Many watch one token at the cost of one channel. Each must
// release when it is done; releasing again does nothing. Expiry is not watched: Bearer.Expires is known beforehand.
//
//	revoked, release := keeper.Watch(bearer.ID)
//	defer release()
func (k *Keeper) Watch(id string) (revoked <-chan struct{}, release func()) { return k.watches.add(id) }
