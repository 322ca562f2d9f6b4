package demo

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
)

// Customer is the kind of entity of applicants.
const Customer = "customer"

// Person is an applicant. Nobody is meant: all of it is made from the number of an application.
type Person struct {
	Reference string // as an entity of kind Customer
	Name      string
	Email     string
	BirthDate string // as 2006-01-02
	Income    string // a month, in euros: a JSON number with two decimals
}

// Applicant is who made the application with a number, always the same person. The number is anybody's: that of a
// stream of Generate, or one of a real log, whose applicants are not known.
func Applicant(number string) Person {
	dice := sha256.Sum256([]byte("lethe demo applicant " + number))
	throw := func(i, sides int) int { return int(binary.BigEndian.Uint32(dice[4*i:]) % uint32(sides)) }
	given, family := givenNames[throw(0, len(givenNames))], familyNames[throw(1, len(familyNames))]
	return Person{
		Reference: "C-" + number,
		Name:      given + " " + family,
		Email:     fmt.Sprintf("%s.%s.%04x@example.org", strings.ToLower(given), strings.ToLower(family), throw(2, 1<<16)),
		BirthDate: fmt.Sprintf("%d-%02d-%02d", 1946+throw(3, 60), 1+throw(4, 12), 1+throw(5, 28)),
		Income:    fmt.Sprintf("%d.%02d", 1400+throw(6, 7600), throw(7, 100)),
	}
}

// The names that applicants are given.
var (
	givenNames = []string{
		"Aaltje", "Anna", "Bart", "Carla", "Daan", "Eline", "Emma", "Femke", "Gerrit", "Hanna", "Henk", "Ilse", "Jan",
		"Joris", "Karel", "Lars", "Lieke", "Lotte", "Maarten", "Marieke", "Milan", "Nora", "Olga", "Pieter", "Quinten",
		"Roos", "Ruben", "Sanne", "Sem", "Sofie", "Thijs", "Tess", "Umar", "Vera", "Willem", "Xander", "Yara", "Zoe",
	}
	familyNames = []string{
		"Aalbers", "Bakker", "Bos", "Brouwer", "Claassen", "Dekker", "Dijkstra", "Evers", "Fokker", "Gerritsen", "Hoekstra",
		"Huisman", "Jacobs", "Jansen", "Kok", "Kuipers", "Lammers", "Maas", "Meijer", "Mulder", "Nijland", "Oosterhuis",
		"Peters", "Postma", "Prins", "Quist", "Ruiter", "Schouten", "Smit", "Timmer", "Uitenbroek", "Visser", "Vos",
		"Wiersma", "Willems", "Ypma", "Zijlstra", "Zwart",
	}
)
