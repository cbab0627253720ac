// A panel made with Gin, with the routes of X-Panel that matter to allow_paths. It says which route a request came to.
// Prints {"tcp": {"MODE": PORT, ...}} when it listens; each mode sets one of the router's switches the other way.
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"

	"github.com/gin-gonic/gin"
)

const base = "/secret"

// What may be reached without a login and does no harm, and what is below the login.
var open = []string{"GET /", "POST /login", "GET /logout", "POST /getTwoFactorEnable", "GET /assets/*file",
	"GET /panel/*page", "GET /xui/*page"}

// What that panel hands to anyone.
var closed = []string{"GET /getDb", "GET /status", "GET /getConfigJson", "POST /importDB", "POST /stopXrayService",
	"POST /logs/:count", "POST /installXray/:version", "POST /openPort"}

var modes = map[string]func(*gin.Engine){
	"plain":       func(*gin.Engine) {},
	"fixed":       func(engine *gin.Engine) { engine.RedirectFixedPath = true },
	"slashes":     func(engine *gin.Engine) { engine.RemoveExtraSlash = true },
	"raw":         func(engine *gin.Engine) { engine.UseRawPath = true },
	"raw-escaped": func(engine *gin.Engine) { engine.UseRawPath, engine.UnescapePathValues = true, false },
}

func panel(mode func(*gin.Engine)) *gin.Engine {
	engine := gin.New()
	mode(engine)
	group := engine.Group(base)
	for kind, routes := range map[string][]string{"open": open, "closed": closed} {
		for _, route := range routes {
			var method, path string
			fmt.Sscan(route, &method, &path)
			group.Handle(method, path, func(context *gin.Context) {
				context.Header("X-Route", kind)
				context.String(http.StatusOK, context.FullPath())
			})
		}
	}
	engine.NoRoute(func(context *gin.Context) {
		context.Header("X-Route", "none")
		context.Status(http.StatusNotFound)
	})
	return engine
}

func main() {
	gin.SetMode(gin.ReleaseMode)
	ports := map[string]int{}
	for name, mode := range modes {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		ports[name] = listener.Addr().(*net.TCPAddr).Port
		go http.Serve(listener, panel(mode))
	}
	announcement, _ := json.Marshal(map[string]any{"tcp": ports})
	fmt.Println(string(announcement))
	select {}
}
