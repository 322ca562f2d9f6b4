package wrapped

import "github.com/lethe-es/lethe/storage"

// Directory is what is known of the register. It only grows, and is never changed: another takes its place.
type Directory struct {
	Version    uint64   // of the store's own keyring
	Names      []string // by number, from 1
	Numbers    map[string]uint32
	Retentions map[storage.RetentionID]bool
}

// NewDirectory is the directory of a register, as of a version of the keyring it stands in.
func NewDirectory(version uint64, g *Register) *Directory {
	d := &Directory{
		Version: version, Names: g.Names, Numbers: make(map[string]uint32, len(g.Names)),
		Retentions: make(map[storage.RetentionID]bool, len(g.Retentions)),
	}
	for i, name := range g.Names {
		d.Numbers[name] = uint32(i + 1)
	}
	for _, id := range g.Retentions {
		d.Retentions[id] = true
	}
	return d
}

// name reads the number of a name.
func (d *Directory) name(from *decoder) string { return d.at(from, from.uvarint()) }

// at is the name with a number.
func (d *Directory) at(from *decoder, number uint64) string {
	if number == 0 || number > uint64(len(d.Names)) {
		from.fail(errName)
		return ""
	}
	return d.Names[number-1]
}

// Lacks tells whether the register must grow to hold these.
func (d *Directory) Lacks(names []string, ids []storage.RetentionID) bool {
	for _, name := range names {
		if d.Numbers[name] == 0 {
			return true
		}
	}
	for _, id := range ids {
		if !d.Retentions[id] {
			return true
		}
	}
	return false
}

// Grow adds what is not there yet.
func (g *Register) Grow(names []string, ids []storage.RetentionID) (changed bool) {
	d := NewDirectory(0, g)
	for _, name := range names {
		if d.Numbers[name] == 0 {
			g.Names = append(g.Names, name)
			d.Numbers[name] = uint32(len(g.Names))
			changed = true
		}
	}
	for _, id := range ids {
		if !d.Retentions[id] {
			g.Retentions = append(g.Retentions, id)
			d.Retentions[id] = true
			changed = true
		}
	}
	return changed
}
