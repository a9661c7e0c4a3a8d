package daemon

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/system"
)

// A push that was answered is in force and stays it, though the directory that took it is replaced at
// the same moment: it may be what takes somebody's rights away.
func TestPushesDuringReloadsStayInForce(t *testing.T) {
	keys := func(create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string) {
		pair, err := create()
		if err != nil {
			t.Fatal(err)
		}
		public, err := pair.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		return pair, public
	}
	operator, operatorKey := keys(nkeys.CreateOperator)
	_, systemKey := keys(nkeys.CreateAccount)
	_, accountKey := keys(nkeys.CreateAccount)
	encode := func(c *jwt.AccountClaims) string {
		token, err := c.Encode(operator)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	account, of := jwt.NewAccountClaims(accountKey), jwt.NewAccountClaims(systemKey)
	of.Imports.Add(&jwt.Import{Name: "x", Subject: "x", Account: accountKey, Type: jwt.Stream}) // so that it is loaded
	text := fmt.Sprintf("trusted_keys: %s\nsystem_account: %s\nresolver: {type: full, dir: %q}\nresolver_preload: {%s: %s, %s: %s}\n",
		operatorKey, systemKey, t.TempDir(), systemKey, encode(of), accountKey, encode(account))
	r, change := reloading(t, text)
	claims := pages{r.Daemon}.claims()
	shown := func() *auth.Account { return r.shown.Load().directory.Account(accountKey) }

	var over atomic.Bool
	var reloads sync.WaitGroup
	reloads.Go(func() {
		for i := 0; !over.Load(); i++ {
			if err := change(text + fmt.Sprintf("max_payload: %d\n", 1000+i%2)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i := range 30 {
		account.Limits.Conn = int64(1000 + i)
		account.IssuedAt = time.Now().Unix()
		answered := false
		claims.Answer("$SYS.REQ.CLAIMS.UPDATE", []byte(encode(account)), func(a system.ClaimsReply) {
			if answered = true; a.Error != nil {
				t.Errorf("push %d: %+v", i, a.Error)
			}
		})
		if !answered {
			t.Fatalf("push %d is not answered", i)
		}
		if a := shown(); a == nil || a.Limits.MaxConnections != account.Limits.Conn {
			t.Errorf("push %d is not in force: %+v", i, a)
		}
	}
	over.Store(true)
	reloads.Wait()
}
