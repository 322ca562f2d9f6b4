package schema

import "slices"

// Coverage is what a version of a schema declares: what is sealed, who is referred to, and what is left open and why.
type Coverage struct {
	Type       string
	Number     int
	Groups     []Covered // personal values by data group
	Kinds      []Covered // references by kind of person
	Subjects   []Covered // personal values by whose they are, as it is written
	Open       []Covered // other values by the reason that is given
	Undeclared []string  // paths of values of which nothing is said: the schema names no person
}

// Covered is places that have something in common.
type Covered struct {
	Name  string
	Paths []string
}

// Coverage sums the declarations up.
func (v *Version) Coverage() (Coverage, error) {
	c := Coverage{Type: v.Type, Number: v.Number}
	plan, err := v.Plan()
	if err != nil {
		return c, err
	}
	for _, p := range plan.Marks() {
		switch {
		case p.Mark != nil:
			cover(&c.Groups, p.Mark.Group, p.Path)
			for _, subject := range p.Subjects {
				cover(&c.Subjects, subject, p.Path)
			}
		case p.Reference != "":
			cover(&c.Kinds, p.Reference, p.Path)
		case p.Open != "":
			cover(&c.Open, p.Open, p.Path)
		default:
			c.Undeclared = append(c.Undeclared, p.Path)
		}
	}
	return c, nil
}

func cover(list *[]Covered, name, path string) {
	i, found := slices.BinarySearchFunc(*list, name, func(c Covered, name string) int {
		switch {
		case c.Name < name:
			return -1
		case c.Name > name:
			return 1
		}
		return 0
	})
	if !found {
		*list = slices.Insert(*list, i, Covered{Name: name})
	}
	(*list)[i].Paths = append((*list)[i].Paths, path)
}
