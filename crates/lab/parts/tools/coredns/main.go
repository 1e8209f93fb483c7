// Command coredns is CoreDNS with the plugins of the lab's Corefile and no others.
//
// The usual set of plugins brings the clients of three clouds along, which
// takes longer to build than everything that the lab needs of it.
package main

import (
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
)

func main() {
	coremain.Run()
}
