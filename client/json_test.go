package client

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// What encoding/json is told of INFO and CONNECT, to be compared with.
type (
	jsonInfo struct {
		ServerID    string   `json:"server_id"`
		ServerName  string   `json:"server_name"`
		Version     string   `json:"version"`
		Headers     bool     `json:"headers"`
		MaxPayload  int      `json:"max_payload"`
		ClientID    uint64   `json:"client_id"`
		TLSRequired bool     `json:"tls_required"`
		TLSOffered  bool     `json:"tls_available"`
		Nonce       string   `json:"nonce"`
		ConnectURLs []string `json:"connect_urls"`
		LameDuck    bool     `json:"ldm"`
	}
	jsonConnect struct {
		Verbose      bool   `json:"verbose"`
		Pedantic     bool   `json:"pedantic"`
		TLSRequired  bool   `json:"tls_required"`
		User         string `json:"user,omitempty"`
		Password     string `json:"pass,omitempty"`
		Token        string `json:"auth_token,omitempty"`
		JWT          string `json:"jwt,omitempty"`
		NKey         string `json:"nkey,omitempty"`
		Signature    string `json:"sig,omitempty"`
		Name         string `json:"name,omitempty"`
		Lang         string `json:"lang"`
		Version      string `json:"version"`
		Protocol     int    `json:"protocol"`
		Echo         bool   `json:"echo"`
		Headers      bool   `json:"headers"`
		NoResponders bool   `json:"no_responders"`
	}
)

const wholeInfo = ` {"server_id":"NAB","server_name":"a \"\u00e9\ud83d\ude00\" \ud800 \/","version":"2.15.2","proto":1,
	"headers":true,"max_payload":1048576,"client_id":18446744073709551615,"tls_required":false,"tls_available":true,
	"nonce":"x\t","connect_urls":["10.0.0.1:4222", "[::1]:4222"],"ldm":true,"jetstream":{"a":[1,-2.5e+3,null,{}],"b":[]},"git":null} `

func TestInfoIsReadWhole(t *testing.T) {
	var got serverInfo
	if err := got.read([]byte(wholeInfo)); err != nil {
		t.Fatal(err)
	}
	want := serverInfo{
		ServerID: "NAB", ServerName: "a \"é😀\" \ufffd /", Version: "2.15.2", Headers: true, MaxPayload: 1 << 20,
		ClientID: 1<<64 - 1, TLSOffered: true, Nonce: "x\t", ConnectURLs: []string{"10.0.0.1:4222", "[::1]:4222"}, LameDuck: true,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if err := got.read([]byte(`{"version":"3"}`)); err != nil || got.Version != "3" || got.MaxPayload != 1<<20 {
		t.Errorf("a second INFO takes away what it does not say: %+v, %v", got, err)
	}
}

func TestInfoThatIsNoneNamesThePlace(t *testing.T) {
	cases := map[string]string{
		``:                        "byte 0 is not an object",
		`[]`:                      "byte 0 is not an object",
		`{"version":1}`:           "byte 11 is not a string",
		`{"headers":"yes"}`:       "byte 11 is not true or false",
		`{"a":[1,]}`:              "byte 8 is not a number",
		`{"a":1,}`:                "byte 7 is not a string",
		`{} {}`:                   "byte 3 is not the end",
		"{\"a\":\"\n\"}":          "byte 6 is not allowed in a string",
		`{"a":"\x"}`:              "is not an escape",
		`{"connect_urls":[1]}`:    "byte 17 is not a string",
		`{"max_payload":1e3}`:     "invalid syntax",
		`{"client_id":-1}`:        "invalid syntax",
		strings.Repeat("[", 1000): "is not an object",
		`{"a":` + strings.Repeat("[", 1000) + `}`: "is not flat enough",
	}
	for text, want := range cases {
		var info serverInfo
		if err := info.read([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %q in it", text, err, want)
		}
	}
}

// ambiguous tells the inputs that encoding/json reads in ways of its own: names in other letters than
// ours, names that come twice, nothing but null.
func ambiguous(text []byte) bool {
	d := json.NewDecoder(bytes.NewReader(text))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return start == nil && err == nil
	}
	known := reflect.TypeFor[jsonInfo]()
	var names []string
	for d.More() {
		token, err := d.Token()
		name, ok := token.(string)
		var value json.RawMessage
		if err != nil || !ok || d.Decode(&value) != nil {
			return false
		}
		if slices.Contains(names, name) {
			return true
		}
		names = append(names, name)
		for i := range known.NumField() {
			if tag := known.Field(i).Tag.Get("json"); tag != name && strings.EqualFold(tag, name) {
				return true
			}
		}
	}
	return false
}

func FuzzInfoIsReadLikeEncodingJSON(f *testing.F) {
	for _, seed := range []string{
		wholeInfo, plainInfo, `{}`, `null`, `{"ldm":null,"connect_urls":null,"version":null,"max_payload":null}`,
		`{"max_payload":1.0}`, `{"max_payload":99999999999999999999}`, `{"a":-0.0e-0}`, `{"a":01}`, `{"\u0061":"\ud83d\u0041"}`,
		`{"connect_urls":[null,"a"]}`, "{\"version\":\"\xff\"}", `{"Version":"x"}`, `{"a":"\ud83d`, `{"a":tru}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if ambiguous(text) {
			t.Skip()
		}
		var got serverInfo
		var want jsonInfo
		err, wantErr := got.read(text), json.Unmarshal(text, &want)
		if err != nil && strings.Contains(err.Error(), "flat enough") {
			t.Skip()
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: %v, encoding/json says %v", text, err, wantErr)
		}
		if len(got.ConnectURLs) == 0 && len(want.ConnectURLs) == 0 {
			got.ConnectURLs, want.ConnectURLs = nil, nil
		}
		if err == nil && !reflect.DeepEqual(got, serverInfo(want)) {
			t.Errorf("%q: %+v, encoding/json has %+v", text, got, want)
		}
	})
}

func FuzzConnectIsWrittenLikeEncodingJSON(f *testing.F) {
	f.Add("ann", "x", "", "boiler", "1.2.3", 1, uint8(0))
	f.Add("\"\\\x00\n\x7f", "\xff\xfe", "<&>\u2028", "é😀\ufffd", "", -1, uint8(255))
	f.Fuzz(func(t *testing.T, user, password, token, name, version string, protocol int, flags uint8) {
		said := connectOptions{
			User: user, Password: password, Token: token, Name: name, JWT: name + user, NKey: user + token, Signature: password + name,
			Lang: version + user, Version: version, Protocol: protocol, Verbose: flags&1 > 0, Pedantic: flags&2 > 0,
			TLSRequired: flags&4 > 0, Echo: flags&8 > 0, Headers: flags&16 > 0, NoResponders: flags&32 > 0,
		}
		text := said.appendTo(nil)
		// Compared are all members, those that are left out among them.
		var got, want map[string]any
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		reference, err := json.Marshal(jsonConnect(said))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(reference, &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s, encoding/json has %s", text, reference)
		}
		if bytes.ContainsAny(text, "\r\n") {
			t.Errorf("%q has a line end in it", text)
		}
	})
}
