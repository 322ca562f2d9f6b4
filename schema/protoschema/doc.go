// Package protoschema is the notation "protobuf": schemas written as .proto files, whose options say what is
// personal.
//
// A text holds one file, or several, each after a line such as
//
//	// file: shop/order.proto
//
// where the first line that is not blank is one. They are compiled in memory. What can be imported is: files of the
// text, Google's well-known files (google/protobuf/…), and lethe/privacy.proto, which is built in ([PrivacyProto]).
// Nothing is read from disk or network.
//
// Two options declare personal data: ours, (lethe.privacy) on fields and (lethe.fields) on messages, and one
// recognised by its number, 51234, and its shape (bool key, bool pii, string dataGrouping). docs/schema-protobuf.md
// describes both.
//
//	message Order {
//	  string customer_id = 1 [(lethe.privacy).person = "customer"];
//	  string name = 2 [(lethe.privacy) = {subject: "customer_id", group: "contact"}];
//	  int64 cents = 3 [(lethe.privacy).not_personal = "business-fact"];
//	}
//
// # How it works
//
// Compile turns message types into nodes. A node is a type in one place of the plan: the same type may hold sealed
// values under one declaration and open ones under another. Types that hold themselves make the nodes a graph with
// circles; the number of nodes is bounded. A field of a node is open, sealed, or a reference.
//
// Reading data makes a tree of messages in canonical order and refuses what would be lost on the way
// (docs/format/protobuf.md). Locate walks the tree's places; Cut leaves the sealed parts out, replaces
// references, and writes the canonical form; Fill reads that, adds parts made of the values' fixed encoding, and
// writes the canonical form again. So what Fill gives is canonical, and equal in every field to what Cut was given;
// it is byte for byte the same where the producer wrote the canonical form.
package protoschema
