package ingest

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// conversion is what a map makes of the text of a field: the type: of a source.
type conversion uint8

const (
	convertNothing conversion = iota
	convertString
	convertNumber
	convertInteger
	convertBoolean
	convertJSON
	convertBase64
	convertBase64JSON
	convertTime
)

func conversions() map[string]conversion {
	return map[string]conversion{
		"string": convertString, "number": convertNumber, "integer": convertInteger, "boolean": convertBoolean,
		"json": convertJSON, "base64": convertBase64, "base64+json": convertBase64JSON, "time": convertTime,
	}
}

// source says where a value comes from.
type source struct {
	text     template
	convert  conversion
	time     timeRule
	optional bool   // an absent field leaves the value out
	fallback *value // what stands in for an absent field
}

// timeRule says how a text is a time.
type timeRule struct {
	layout string         // of package time, or one of the names below
	zone   *time.Location // of texts that name none; nil: they must
}

const (
	layoutRFC3339 = "rfc3339"
	layoutUnix    = "unix"
	layoutUnixMs  = "unix_ms"
	layoutUnixUs  = "unix_us"
)

// isNamed tells the layouts that are names from those that show how a time is written.
func isNamed(layout string) bool {
	switch layout {
	case layoutRFC3339, layoutUnix, layoutUnixMs, layoutUnixUs:
		return true
	}
	return false
}

// hasYear tells whether texts of this layout name a year, without which they are no time.
func hasYear(layout string) bool {
	day := time.Unix(0, 0).UTC()
	return isNamed(layout) || day.Format(layout) != day.AddDate(1, 0, 0).Format(layout)
}

// namesZoneInLetters tells of layouts whose zone package time would guess.
func namesZoneInLetters(layout string) bool {
	return strings.Contains(time.Date(2006, 1, 2, 15, 4, 5, 0, time.FixedZone("QQQ", 3600)).Format(layout), "QQQ")
}

// hasZone tells whether texts of this layout name their zone.
func hasZone(layout string) bool {
	day := time.Date(2006, 1, 2, 15, 4, 5, 0, time.UTC)
	elsewhere := time.Date(2006, 1, 2, 15, 4, 5, 0, time.FixedZone("", 3600))
	return isNamed(layout) || day.Format(layout) != elsewhere.Format(layout)
}

func (r timeRule) parse(text string) (t time.Time, err error) {
	switch r.layout {
	case layoutUnix, layoutUnixMs, layoutUnixUs:
		return r.parseUnix(text)
	case layoutRFC3339:
		if t, err = time.Parse(time.RFC3339Nano, text); err != nil && r.zone != nil {
			t, err = time.ParseInLocation("2006-01-02T15:04:05", text, r.zone)
		}
		return t, err
	}
	if r.zone != nil {
		return time.ParseInLocation(r.layout, text, r.zone)
	}
	return time.Parse(r.layout, text)
}

// parseUnix reads whole units since 1970 UTC.
func (r timeRule) parseUnix(text string) (time.Time, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil:
		return time.Time{}, err
	case r.layout == layoutUnix:
		return time.Unix(n, 0), nil
	case r.layout == layoutUnixMs:
		return time.UnixMilli(n), nil
	}
	return time.UnixMicro(n), nil
}

// read is the time that v says, in UTC and to the microsecond.
func (r timeRule) read(v value, name string) (time.Time, error) {
	if v.kind != valueText && v.kind != valueNumber {
		return time.Time{}, wrongType(name, "a time")
	}
	t, err := r.parse(string(v.text))
	if err != nil || t.Year() < 1 || t.Year() > 9999 || t.IsZero() {
		return time.Time{}, &fault{"malformed_time", name + " is not a time of the layout the map gives"}
	}
	return t.UTC().Truncate(time.Microsecond), nil
}

func wrongType(name, want string) error {
	return &fault{"wrong_type", name + " is not " + want}
}

// appendJSON writes the value as it is.
func (v value) appendJSON(dst []byte) ([]byte, error) {
	switch v.kind {
	case valueNumber:
		return appendNumber(dst, v.text, "an attribute")
	case valueBoolean:
		return appendBoolean(dst, v.text, "an attribute")
	case valueJSON:
		return append(dst, v.text...), nil
	case valueAbsent:
		return append(dst, "null"...), nil
	}
	dst, err := jsontext.AppendQuote(dst, v.text)
	return dst, badText(err)
}

// appendData writes the value as the JSON that the map wants of it. name is what faults call it.
func (s *source) appendData(dst []byte, v value, name string) ([]byte, error) {
	if s.convert == convertNothing {
		return v.appendJSON(dst)
	}
	if v.kind == valueJSON {
		if s.convert == convertJSON {
			return append(dst, v.text...), nil
		}
		return dst, wrongType(name, "a text, number or boolean")
	}
	switch s.convert {
	case convertNumber:
		return appendNumber(dst, v.text, name)
	case convertInteger:
		if bytes.ContainsAny(v.text, ".eE") {
			return dst, wrongType(name, "an integer")
		}
		return appendNumber(dst, v.text, name)
	case convertBoolean:
		return appendBoolean(dst, v.text, name)
	case convertJSON:
		return appendValid(dst, v.text, name)
	case convertBase64, convertBase64JSON:
		return s.appendDecoded(dst, v.text, name)
	case convertTime:
		t, err := s.time.read(v, name)
		if err != nil {
			return dst, err
		}
		return append(t.AppendFormat(append(dst, '"'), time.RFC3339Nano), '"'), nil
	}
	dst, err := jsontext.AppendQuote(dst, v.text)
	return dst, badText(err)
}

func (s *source) appendDecoded(dst, text []byte, name string) ([]byte, error) {
	decoded, ok := decodeBase64(text)
	switch {
	case !ok:
		return dst, &fault{"malformed_base64", name + " is not base64"}
	case s.convert == convertBase64JSON:
		return appendValid(dst, decoded, name)
	case !utf8.Valid(decoded):
		return dst, &fault{"invalid_utf8", name + " is not UTF-8 text inside its base64"}
	}
	dst, err := jsontext.AppendQuote(dst, decoded)
	return dst, badText(err)
}

// decodeBase64 reads both alphabets of RFC 4648, with or without padding, and passes over line ends.
func decodeBase64(text []byte) ([]byte, bool) {
	if bytes.ContainsAny(text, "\r\n") {
		text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("\r"), nil), []byte("\n"), nil)
	}
	encoding := base64.RawStdEncoding
	if bytes.ContainsAny(text, "-_") {
		encoding = base64.RawURLEncoding
	}
	digits := bytes.TrimRight(text, "=")
	if padding := len(text) - len(digits); padding > 2 || padding > 0 && len(text)%4 != 0 {
		return nil, false
	}
	out := make([]byte, encoding.DecodedLen(len(digits)))
	n, err := encoding.Decode(out, digits)
	return out[:n], err == nil
}

// appendValid writes text that is said to be one JSON value, without the white space around it.
func appendValid(dst, text []byte, name string) ([]byte, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(text))
	v, err := dec.ReadValue()
	if err != nil {
		return dst, badJSON(name, err)
	}
	if firstNonSpace(text[dec.InputOffset():]) >= 0 {
		return dst, &fault{"invalid_json", name + " has something after its JSON value"}
	}
	return append(dst, v...), nil
}

// appendNumber writes a decimal number as JSON has it: without a plus sign and without zeros in front. Its digits are
// never changed.
func appendNumber(dst, text []byte, name string) ([]byte, error) {
	digits := text
	negative := len(digits) > 0 && digits[0] == '-'
	if negative || len(digits) > 0 && digits[0] == '+' {
		digits = digits[1:]
	}
	for len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9' {
		digits = digits[1:]
	}
	if !isNumber(digits) {
		return dst, wrongType(name, "a number")
	}
	if negative {
		dst = append(dst, '-')
	}
	return append(dst, digits...), nil
}

// isNumber checks digits[.digits][e[+-]digits].
func isNumber(b []byte) bool {
	b, ok := cutDigits(b)
	if ok && len(b) > 0 && b[0] == '.' {
		b, ok = cutDigits(b[1:])
	}
	if ok && len(b) > 1 && b[0]|0x20 == 'e' {
		b = b[1:]
		if b[0] == '+' || b[0] == '-' {
			b = b[1:]
		}
		b, ok = cutDigits(b)
	}
	return ok && len(b) == 0
}

func cutDigits(b []byte) (rest []byte, ok bool) {
	i := 0
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return b[i:], i > 0
}

func appendBoolean(dst, text []byte, name string) ([]byte, error) {
	is, ok := trueOrFalse(text)
	if !ok {
		return dst, wrongType(name, "true or false")
	}
	return strconv.AppendBool(dst, is), nil
}
