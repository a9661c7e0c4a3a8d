package auth

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"slices"
	"strings"
)

// mapsCertificate reports whether it is the certificate that says who a client is.
func (d *Directory) mapsCertificate(c *Credentials) bool {
	switch c.Type {
	case "", Standard, InProcess:
		return d.mapped
	case LeafNode:
		return d.mapsLeaves
	}
	return false
}

// fromCertificate finds the user that a client's certificate names: by one of its e-mail
// addresses, host names or URIs, in this order, or by its subject.
func (d *Directory) fromCertificate(c *Credentials) *entry {
	if c.TLS == nil || len(c.TLS.PeerCertificates) == 0 {
		return nil
	}
	certificate := c.TLS.PeerCertificates[0]
	for _, name := range alternativeNames(certificate) {
		if e := d.mappable(name, c.Type); e != nil {
			return e
		}
	}
	subject := certificate.Subject.ToRDNSequence().String()
	if dn, ok := dnOf(certificate.RawSubject); ok {
		if e := d.byDN(dn, c.Type); e != nil {
			return e
		}
	}
	// The text that Go makes of a subject has its domain components in a notation that nobody
	// writes, so they are appended in the usual one.
	if components := domainComponents(certificate.RawSubject); components != "" {
		if e := d.mappable(subject+","+components, c.Type); e != nil {
			return e
		}
	}
	return d.mappable(subject, c.Type)
}

// refuseCertificate says why the certificate of a client makes it no user.
func refuseCertificate(c *Credentials) error {
	if c.TLS == nil || len(c.TLS.PeerCertificates) == 0 {
		return refuse("the client shows no certificate, which verify_and_map goes by: give it one")
	}
	return refuse("no user is named as the client's certificate, %q: add one, or one of its alternative names", cut(c.TLS.PeerCertificates[0].Subject.String()))
}

func alternativeNames(c *x509.Certificate) []string {
	names := append(slices.Clone(c.EmailAddresses), c.DNSNames...)
	for _, uri := range c.URIs {
		names = append(names, uri.String())
	}
	return names
}

// mappable is the user of that name, if there is one for this type of connection.
func (d *Directory) mappable(name, connectionType string) *entry {
	if e := d.users[name]; e != nil && e.identity.Admits(connectionType) {
		return e
	}
	return nil
}

// byDN finds a user whose name is a distinguished name equal to dn, or else with the same parts in
// another order.
func (d *Directory) byDN(dn distinguishedName, connectionType string) *entry {
	for _, matches := range []func(a, b distinguishedName) bool{distinguishedName.equal, distinguishedName.permuted} {
		for i := range d.dns {
			if n := &d.dns[i]; matches(n.dn, dn) && n.entry.identity.Admits(connectionType) {
				return n.entry
			}
		}
	}
	return nil
}

// namedDN is a user whose name is a distinguished name.
type namedDN struct {
	dn    distinguishedName
	entry *entry
}

// A distinguishedName is a row of parts, each an attribute or several, in the order of RFC 4514:
// what comes last in a certificate comes first.
type distinguishedName [][]attribute

type attribute struct{ kind, value string }

// kinds are the attributes that nats-server knows by a short name. A subject with any other one is
// found by its text only.
var kinds = map[string]string{
	"2.5.4.3": "CN", "2.5.4.5": "SERIALNUMBER", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.9": "STREET",
	"2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.17": "POSTALCODE", "0.9.2342.19200300.100.1.25": "DC",
}

// dnOf reads the subject of a certificate. It is not a name we know if it has other attributes.
func dnOf(raw []byte) (dn distinguishedName, ok bool) {
	var sequence pkix.RDNSequence
	if _, err := asn1.Unmarshal(raw, &sequence); err != nil {
		return nil, false
	}
	for _, set := range slices.Backward(sequence) {
		if len(set) == 0 {
			continue
		}
		var part []attribute
		for _, a := range set {
			kind := kinds[a.Type.String()]
			value, isText := a.Value.(string)
			if kind == "" || !isText {
				return nil, false
			}
			part = append(part, attribute{kind, value})
		}
		dn = append(dn, part)
	}
	return dn, true
}

func domainComponents(raw []byte) string {
	var sequence pkix.RDNSequence
	if _, err := asn1.Unmarshal(raw, &sequence); err != nil {
		return ""
	}
	var components []string
	for _, set := range sequence {
		for _, a := range set {
			if value, ok := a.Value.(string); ok && kinds[a.Type.String()] == "DC" {
				components = append(components, "DC="+value)
			}
		}
	}
	return strings.Join(components, ",")
}

// parseDN reads a name as RFC 4514 writes it: kind=value, with "," between parts and "+" between
// the attributes of one part, and "\" before what is meant literally or before two hex digits.
func parseDN(text string) (dn distinguishedName, ok bool) {
	var part []attribute
	for rest := text; rest != ""; {
		kind, after, found := strings.Cut(rest, "=")
		kind = strings.Trim(kind, " ")
		if !found || kind == "" || strings.ContainsAny(kind, `,+\`) || strings.HasPrefix(after, "#") {
			return nil, false
		}
		value, end, valid := parseValue(after)
		if !valid {
			return nil, false
		}
		part = append(part, attribute{kind, value})
		if end == len(after) {
			break
		}
		if after[end] == ',' {
			dn, part = append(dn, part), nil
		}
		rest = after[end+1:]
	}
	if len(part) > 0 {
		dn = append(dn, part)
	}
	return dn, len(dn) > 0
}

// parseValue reads up to a "," or "+" that is not escaped. Blanks around it do not count.
func parseValue(text string) (value string, end int, ok bool) {
	var b []byte
	kept := 0 // of b, when trailing blanks are cut off
	for i := 0; i < len(text); i++ {
		switch char := text[i]; {
		case char == ',' || char == '+':
			return string(b[:kept]), i, true
		case char == '=':
			return "", 0, false
		case char == '\\':
			if i++; i == len(text) {
				return "", 0, false
			}
			if strings.IndexByte(` "#+,;<=>\`, text[i]) >= 0 {
				b = append(b, text[i])
			} else {
				octet, err := hex.DecodeString(text[i:min(i+2, len(text))])
				if err != nil {
					return "", 0, false
				}
				b = append(b, octet...)
				i++
			}
			kept = len(b)
		case char == ' ' && len(b) == 0:
		default:
			b = append(b, char)
			if char != ' ' {
				kept = len(b)
			}
		}
	}
	return string(b[:kept]), len(text), true
}

// equal is the rule distinguishedNameMatch of RFC 4517: the order of attributes in a part and the
// case of their kinds do not matter.
func (a distinguishedName) equal(b distinguishedName) bool {
	return slices.EqualFunc(a, b, samePart)
}

// permuted reports whether a and b have the same parts, in whatever order.
func (a distinguishedName) permuted(b distinguishedName) bool {
	if len(a) != len(b) {
		return false
	}
	rest := slices.Clone(b)
	for _, part := range a {
		i := slices.IndexFunc(rest, func(other []attribute) bool { return samePart(part, other) })
		if i < 0 {
			return false
		}
		rest = slices.Delete(rest, i, i+1)
	}
	return true
}

func samePart(a, b []attribute) bool {
	return len(a) == len(b) && within(a, b) && within(b, a)
}

func within(a, b []attribute) bool {
	for _, x := range a {
		if !slices.ContainsFunc(b, func(y attribute) bool { return strings.EqualFold(x.kind, y.kind) && x.value == y.value }) {
			return false
		}
	}
	return true
}
