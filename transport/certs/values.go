package certs

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// HandshakeFirst says who begins.
type HandshakeFirst struct {
	On bool
	// Delay is how long a client is waited for before it is spoken to in plain after all; 0: for ever.
	Delay time.Duration
}

// UnmarshalConf implements config.Unmarshaler.
func (h *HandshakeFirst) UnmarshalConf(value any) error {
	switch v := value.(type) {
	case bool:
		*h = HandshakeFirst{On: v}
		return nil
	case string:
		switch strings.ToLower(v) {
		case "true", "on":
			*h = HandshakeFirst{On: true}
			return nil
		case "false", "off":
			*h = HandshakeFirst{}
			return nil
		case "auto", "auto_fallback":
			*h = HandshakeFirst{On: true, Delay: fallbackDelay}
			return nil
		}
		if delay, err := time.ParseDuration(v); err == nil {
			*h = HandshakeFirst{On: true, Delay: max(0, delay)}
			return nil
		}
	}
	return fmt.Errorf(`wants true, false, "auto" or a duration and got %s`, shown(value))
}

// A Version is a version of TLS; 0 means the default.
type Version uint16

// UnmarshalConf implements config.Unmarshaler.
func (n *Version) UnmarshalConf(value any) error {
	switch value {
	case "1.2":
		*n = tls.VersionTLS12
	case "1.3":
		*n = tls.VersionTLS13
	case "1.0", "1.1":
		return fmt.Errorf(`TLS %s is not secure any more: write "1.2" or "1.3"`, value)
	default:
		return fmt.Errorf(`wants "1.2" or "1.3", in quotes, and got %s`, shown(value))
	}
	return nil
}

// Suites are cipher suites of TLS 1.2.
type Suites []uint16

// UnmarshalConf implements config.Unmarshaler.
func (s *Suites) UnmarshalConf(value any) error {
	names, err := texts(value)
	if err != nil {
		return err
	}
	known := append(tls.CipherSuites(), tls.InsecureCipherSuites()...)
	*s = nil
	for _, name := range names {
		i := slices.IndexFunc(known, func(c *tls.CipherSuite) bool { return c.Name == name })
		if i < 0 {
			return fmt.Errorf("cipher suite %s is not known: take one of %s", shown(name), suiteNames(tls.CipherSuites()))
		}
		*s = append(*s, known[i].ID)
	}
	return nil
}

func suiteNames(all []*tls.CipherSuite) string {
	var names []string
	for _, one := range all {
		names = append(names, one.Name)
	}
	return strings.Join(names, ", ")
}

// insecure are the names of those that are known to be weak.
func (s Suites) insecure() []string {
	var names []string
	for _, one := range tls.InsecureCipherSuites() {
		if slices.Contains(s, one.ID) {
			names = append(names, one.Name)
		}
	}
	return names
}

// Curves are key exchanges.
type Curves []tls.CurveID

var curves = map[string]tls.CurveID{
	"X25519MLKEM768":     tls.X25519MLKEM768,
	"SecP256r1MLKEM768":  tls.SecP256r1MLKEM768,
	"SecP384r1MLKEM1024": tls.SecP384r1MLKEM1024,
	"X25519":             tls.X25519,
	"CurveP256":          tls.CurveP256,
	"CurveP384":          tls.CurveP384,
	"CurveP521":          tls.CurveP521,
}

// UnmarshalConf implements config.Unmarshaler.
func (c *Curves) UnmarshalConf(value any) error {
	names, err := texts(value)
	if err != nil {
		return err
	}
	*c = nil
	for _, name := range names {
		id, ok := curves[name]
		if !ok {
			return fmt.Errorf("curve %s is not known: take X25519MLKEM768, SecP256r1MLKEM768, SecP384r1MLKEM1024, X25519, CurveP256, CurveP384 or CurveP521", shown(name))
		}
		*c = append(*c, id)
	}
	return nil
}

// Pins are the SHA-256 sums of public keys.
type Pins [][sha256.Size]byte

// UnmarshalConf implements config.Unmarshaler.
func (p *Pins) UnmarshalConf(value any) error {
	if list, ok := value.([]any); ok && len(list) == 0 {
		*p = nil // no restriction, as in nats-server
		return nil
	}
	names, err := texts(value)
	if err != nil {
		return err
	}
	*p = nil
	for _, name := range names {
		var sum [sha256.Size]byte
		if len(name) != 2*len(sum) {
			return badPin(name)
		}
		if _, err := hex.Decode(sum[:], []byte(name)); err != nil {
			return badPin(name)
		}
		*p = append(*p, sum)
	}
	return nil
}

func badPin(name string) error {
	return fmt.Errorf("%s is not the SHA-256 of a public key in 64 hex digits: "+
		"take that of `openssl x509 -in FILE -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum`", shown(name))
}

// windowsOnly is a key of the certificate store of Windows.
type windowsOnly struct{}

// UnmarshalConf implements config.Unmarshaler.
func (windowsOnly) UnmarshalConf(value any) error {
	if value == false {
		return nil
	}
	return errors.New("is refused: certificates come from files here, not from the store of Windows: export it and write cert_file and key_file")
}

// noOCSP is a key of the protocol that asks whether certificates are revoked.
type noOCSP struct{}

// UnmarshalConf implements config.Unmarshaler.
func (noOCSP) UnmarshalConf(value any) error {
	if value == false {
		return nil
	}
	return errors.New("is refused: nobody is asked here whether a client's certificate is revoked: use short-lived certificates, or pinned_certs")
}

// routesOnly is a key that means something between the members of a cluster.
type routesOnly struct{}

// UnmarshalConf implements config.Unmarshaler.
func (routesOnly) UnmarshalConf(value any) error {
	if value == false {
		return nil
	}
	return errors.New("is refused: it checks members of clusters, and clients are none: write verify: true")
}

// texts reads a list of texts that is not empty; one text stands for a list of one.
func texts(value any) ([]string, error) {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	if len(list) == 0 {
		return nil, errors.New("is empty: name at least one, or remove the key")
	}
	var all []string
	for _, one := range list {
		text, ok := one.(string)
		if !ok {
			return nil, fmt.Errorf("wants a list of texts and got %s in it: put it in quotes", shown(one))
		}
		all = append(all, text)
	}
	return all, nil
}

// shown is a value as an error shows it.
func shown(value any) string {
	switch v := value.(type) {
	case string:
		return fmt.Sprintf("%q", v[:min(len(v), 64)])
	case bool, int64, float64:
		return fmt.Sprint(v)
	case []any:
		return "a list"
	}
	return "a block"
}
