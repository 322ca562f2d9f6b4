package storage

import "context"

// Tokens keeps the access tokens of a store. What is added or revoked is so for every later call, also after the
// store is opened again. An engine neither mints tokens nor judges them: package token does. In a store that is not
// Live every change is Life.Check's error, and nothing changes. [storagetest.MovedRefuses] [storagetest.AdoptTakesOver]
type Tokens interface {
	// Token is the token with an id: as it was added, and what was noted of it since. event.ErrNotFound if there is
	// none. [storagetest.TokenKept]
	Token(ctx context.Context, id string) (Token, error)
	// Tokens lists all, ordered by the bytes of id, revoked and expired ones among them. [storagetest.TokensListed]
	Tokens(ctx context.Context) ([]Token, error)
	// AddToken stores a new token durably. An id that is there is event.ErrConflict, an empty one event.ErrInvalid,
	// and nothing changes. [storagetest.TokenAdded]
	AddToken(ctx context.Context, t Token) error
	// RevokeToken notes durably that a token ended at a time, and returns it. The first time stays: revoking again
	// changes nothing. An id that is not there is event.ErrNotFound, a time below 1 event.ErrInvalid.
	// [storagetest.TokenRevoked]
	RevokeToken(ctx context.Context, id string, at int64) (Token, error)
	// UseTokens notes when tokens were last used, by id, all of them or none. A time that is not later than the noted
	// one, and an id that is not there, change nothing. [storagetest.TokenUsed]
	UseTokens(ctx context.Context, at map[string]int64) error
}

// Token is what is kept of an access token. Its secret is not: only the hash of it. Times are µs since 1970 UTC,
// 0: never.
type Token struct {
	ID                        string
	Hash                      [32]byte // SHA-256 of the secret
	Label                     string
	Read, Append, Admin, Open bool
	Kinds                     []string // only streams and events of these; an empty list is nil on the way out: all
	Created                   int64
	Expires                   int64
	Revoked                   int64
	Used                      int64
}
