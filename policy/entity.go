package policy

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/cedar-policy/cedar-go/types"
)

// maxParents bounds the parents of one entity.
const maxParents = 100

// readEntities reads the entities of a document, strictly: what Cedar would ignore is a problem.
func readEntities(d *Document, tree *node, found *Problems) types.EntityMap {
	n := sectionNode(tree, "entities")
	if n == nil {
		return types.EntityMap{}
	}
	if n.kind != '[' {
		found.add("entities", "want a list of Cedar entities")
		return types.EntityMap{}
	}
	if len(n.items) > MaxEntities {
		found.add("entities", "%d are more than %d", len(n.items), MaxEntities)
		return types.EntityMap{}
	}
	all := types.EntityMap{}
	for i, item := range n.items {
		place := at("entities", i)
		if !checkEntity(place, item, found) {
			continue
		}
		e, ok := readEntity(place, item, found)
		if !ok {
			continue
		}
		if _, twice := all[e.UID]; twice {
			found.add(place, "the entity is there twice")
		}
		all[e.UID] = e
	}
	inspectEntities(d, n, all, found)
	return all
}

func sectionNode(tree *node, name string) *node {
	for _, m := range tree.members {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// checkEntity looks at the members of an entity.
func checkEntity(place string, n *node, found *Problems) bool {
	if n.kind != '{' {
		found.add(place, "want a Cedar entity: an object with uid, parents and attrs")
		return false
	}
	there := map[string]*node{}
	for _, m := range n.members {
		switch m.name {
		case "uid", "parents", "attrs", "tags":
			there[m.name] = m.value
		default:
			found.add(within(place, m.name), "the field is not known; known are uid, parents, attrs, tags")
			return false
		}
	}
	if p := there["parents"]; p != nil && len(p.items) > maxParents {
		found.add(place+".parents", "%d are more than %d", len(p.items), maxParents)
		return false
	}
	return true
}

// readEntity reads one entity; parents, attrs and tags may be left out.
func readEntity(place string, n *node, found *Problems) (types.Entity, bool) {
	var e types.Entity
	fail := func(where, want string) (types.Entity, bool) {
		found.add(where, "%s", want)
		return e, false
	}
	uid := sectionNode(n, "uid")
	if uid == nil {
		return fail(place+".uid", uidShape)
	}
	if !readUID(uid, &e.UID) {
		return fail(place+".uid", uidShape)
	}
	if p := sectionNode(n, "parents"); p != nil {
		if p.kind != '[' {
			return fail(place+".parents", "want a list")
		}
		list := make([]types.EntityUID, len(p.items))
		for i, item := range p.items {
			if !readUID(item, &list[i]) {
				return fail(at(place+".parents", i), uidShape)
			}
		}
		e.Parents = types.NewEntityUIDSet(list...)
	}
	for name, into := range map[string]*types.Record{"attrs": &e.Attributes, "tags": &e.Tags} {
		if m := sectionNode(n, name); m != nil {
			if m.kind != '{' || into.UnmarshalJSON(m.raw) != nil {
				return fail(place+"."+name, "want an object of Cedar values: texts, whole numbers, true, false, lists, objects")
			}
		}
	}
	return e, true
}

const uidShape = `want an entity, such as {"type": "Role", "id": "clerk"}`

// readUID reads {"type", "id"}, also inside {"__entity"}.
func readUID(n *node, uid *types.EntityUID) bool {
	if n.kind == '{' && len(n.members) == 1 && n.members[0].name == "__entity" {
		n = n.members[0].value
	}
	typ, id := sectionNode(n, "type"), sectionNode(n, "id")
	if n.kind != '{' || len(n.members) != 2 || typ == nil || id == nil || typ.kind != '"' || id.kind != '"' {
		return false
	}
	t, err := types.NewEntityType(typ.text)
	*uid = types.NewEntityUID(t, types.String(id.text))
	return err == nil
}

// inspectEntities checks every name and text in entities as those in rules are checked.
func inspectEntities(d *Document, n *node, all types.EntityMap, found *Problems) {
	for i, item := range n.items {
		look := inspector{document: d, rules: &rules{entities: all}, found: found, place: at("entities", i)}
		var uid types.EntityUID
		if u := sectionNode(item, "uid"); u == nil || !readUID(u, &uid) {
			continue
		}
		e := all[uid]
		look.entity(e.UID)
		for p := range e.Parents.All() {
			look.entity(p)
		}
		look.value(e.Attributes)
		look.value(e.Tags)
		look.texts(item)
	}
}

// texts looks at every text and name as it was written, whatever Cedar makes of it.
func (i inspector) texts(n *node) {
	if n.kind == jsontext.KindString && holdsEmail(n.text) {
		i.found.add(i.place, "it holds an e-mail address, and stays readable in the log for ever; name persons by KRID")
		return
	}
	for _, m := range n.members {
		if holdsEmail(m.name) {
			i.found.add(i.place, "a name holds an e-mail address, and stays readable in the log for ever")
		}
		i.texts(m.value)
	}
	for _, item := range n.items {
		i.texts(item)
	}
}
