package event

import (
	"reflect"
	"strconv"
	"strings"
)

// decoded walks a decoded value beside the list of what is withheld.
type decoded struct{ withheld map[string]*Withheld }

// walk settles every Personal in v, which stands at path; above is what is withheld of an enclosing value.
func (d *decoded) walk(v reflect.Value, path string, above *Withheld) {
	if w := d.withheld[path]; w != nil {
		above = w
	}
	if v.CanAddr() {
		if p, ok := v.Addr().Interface().(personal); ok {
			p.settle(above)
			return
		}
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			d.walk(v.Elem(), path, above)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() {
				continue
			}
			name, embedded := jsonName(&f)
			switch {
			case name == "-":
			case embedded:
				d.walk(v.Field(i), path, above)
			default:
				d.walk(v.Field(i), path+"/"+EscapePointer(name), above)
			}
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() != reflect.Uint8 {
			for i := range v.Len() {
				d.walk(v.Index(i), path+"/"+strconv.Itoa(i), above)
			}
		}
	case reflect.Map:
		d.walkMap(v, path, above)
	}
}

// walkMap settles copies of a map's values and puts them back: a map's own cannot be changed.
func (d *decoded) walkMap(v reflect.Value, path string, above *Withheld) {
	if v.Type().Key().Kind() != reflect.String {
		return
	}
	for _, key := range v.MapKeys() {
		element := reflect.New(v.Type().Elem()).Elem()
		element.Set(v.MapIndex(key))
		d.walk(element, path+"/"+EscapePointer(key.String()), above)
		v.SetMapIndex(key, element)
	}
}

// jsonName is the name of a field as encoding/json takes it.
func jsonName(f *reflect.StructField) (name string, embedded bool) {
	tag := f.Tag.Get("json")
	if tag == "-" {
		return "-", false
	}
	name, _, _ = strings.Cut(tag, ",")
	if name == "" && f.Anonymous {
		return "", true
	}
	if name == "" {
		name = f.Name
	}
	return name, false
}

// EscapePointer is a name as a token of a JSON pointer (RFC 6901).
func EscapePointer(token string) string {
	return strings.ReplaceAll(strings.ReplaceAll(token, "~", "~0"), "/", "~1")
}
