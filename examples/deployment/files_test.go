package main_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/config"
	"github.com/gatehouse-go/gatehouse/internal/testenv"
)

const healthPath = "/health"

// A deployed is what a platform's file makes of the program.
type deployed struct {
	file     string
	platform string            // for forwarded.Platform
	told     string            // the variable by which the platform gives itself away
	env      map[string]string // a value that the file does not hold: unset
	health   []string
	kill     time.Duration // from the signal to SIGKILL
	port     int           // 0: the platform says it in PORT
}

// unset stands for a value that is set at the platform, or comes from there.
const unset = "\x00"

// filled are values for those.
var filled = map[string]string{
	"SECRET_KEY": "hT9v0cXq2Lr7mZ4sWk1uYb8eNf5dGj3a", "BACKEND_URL": "https://app.example.com",
	"DATABASE_URL": "postgresql://app:p@db.internal:5432/app", "REDIS_URL": "redis://limits.internal:6379",
	"GOOGLE_CLIENT_ID": "id", "GOOGLE_CLIENT_SECRET": "s", "ANTHROPIC_API_KEY": "k", "ANTHROPIC_MODEL": "m",
}

func files(t *testing.T) []deployed {
	t.Helper()
	fly := decode(t, "fly.toml")
	service := fly["http_service"].(map[string]any)
	flyEnv := strs(fly["env"].(map[string]any))
	for _, name := range regexp.MustCompile(`(?m)([A-Z_]+)=("\$|\.\.\.)`).FindAllStringSubmatch(read(t, "fly.toml"), -1) {
		flyEnv[name[1]] = unset // fly secrets set
	}
	all := []deployed{{
		"fly.toml", "fly", "FLY_APP_NAME", flyEnv,
		[]string{list(service["checks"])[0]["path"].(string)},
		time.Duration(fly["kill_timeout"].(int64)) * time.Second, int(service["internal_port"].(int64)),
	}}

	web := list(decode(t, "render.yaml")["services"])[0]
	env := map[string]string{}
	for _, v := range list(web["envVars"]) {
		env[v["key"].(string)] = unset
		if value, ok := v["value"].(string); ok {
			env[v["key"].(string)] = value
		}
	}
	all = append(all, deployed{
		"render.yaml", "render", "RENDER", env,
		[]string{web["healthCheckPath"].(string)},
		time.Duration(web["maxShutdownDelaySeconds"].(int)) * time.Second, 0,
	})

	for _, replicas := range []string{"1", "3"} {
		app := railway(t, replicas)
		env := map[string]string{}
		for name, v := range app.Variables {
			env[name] = unset
			if v.Type == "literal" {
				env[name] = v.Value
			}
		}
		all = append(all, deployed{
			".railway/railway.ts with " + replicas, "railway", "RAILWAY_PROJECT_ID", env,
			[]string{app.Deploy.HealthcheckPath},
			time.Duration(app.Deploy.DrainingSeconds) * time.Second, 0,
		})
	}
	return all
}

func TestEveryPlatformFileMakesAValidProductionEnvironment(t *testing.T) {
	for _, d := range files(t) {
		t.Run(d.file, func(t *testing.T) {
			env := map[string]string{d.told: "x"}
			for name, value := range d.env {
				if value == unset {
					require.Contains(t, filled, name)
					value = filled[name]
				}
				env[name] = value
			}
			c, err := config.Load(func(name string) string { return env[name] })
			require.NoError(t, err)
			assert.True(t, c.Production())
			assert.Equal(t, d.platform, c.Platform)
			delete(env, "PLATFORM")
			c, err = config.Load(func(name string) string { return env[name] })
			require.NoError(t, err)
			assert.Equal(t, d.platform, c.Platform, "PLATFORM says what the platform's own variable does")

			assert.Equal(t, []string{healthPath}, d.health)
			assert.GreaterOrEqual(t, d.kill, c.ShutdownTimeout+3*time.Second, "the drain ends before the platform loses patience")
			if d.port != 0 {
				assert.Equal(t, c.Port, d.port)
			}
		})
	}
}

func TestEveryVariableInAPlatformFileIsReadAndNoSecretHasAValue(t *testing.T) {
	read := variables(t)
	for _, d := range files(t) {
		for name, value := range d.env {
			if name != "RAILWAY_RUN_UID" { // Railway's own: docs.railway.com/volumes/reference
				assert.Contains(t, read, name, d.file)
			}
			if strings.HasSuffix(name, "_KEY") || strings.HasSuffix(name, "_SECRET") {
				assert.Equal(t, unset, value, "%s: %s", d.file, name)
			}
		}
	}
	services := decode(t, "compose.yaml")["services"].(map[string]any)
	for _, name := range []string{"app", "app2", "app3"} {
		for v := range services[name].(map[string]any)["environment"].(map[string]any) {
			assert.Contains(t, read, v, "compose.yaml")
		}
	}
}

// The keys that the platforms know, by source and the day they were compared.
// They refuse others, or worse, pass over them in silence.
var known = []struct{ file, source, date, keys string }{
	{"railway.toml", "https://docs.railway.com/config-as-code/reference", "2026-11-23", `
		build.builder build.watchPatterns build.buildCommand build.dockerfilePath
		deploy.startCommand deploy.preDeployCommand deploy.healthcheckPath deploy.healthcheckTimeout
		deploy.restartPolicyType deploy.restartPolicyMaxRetries deploy.cronSchedule
		deploy.overlapSeconds deploy.drainingSeconds deploy.multiRegionConfig`},
	{"render.yaml", "https://render.com/docs/blueprint-spec", "2026-11-23", `
		services[].type services[].name services[].runtime services[].plan services[].region services[].branch
		services[].repo services[].rootDir services[].domains[] services[].buildFilter.paths[] services[].preDeployCommand
		services[].dockerfilePath services[].dockerContext services[].dockerCommand services[].autoDeployTrigger
		services[].healthCheckPath services[].maxShutdownDelaySeconds services[].numInstances
		services[].disk.name services[].disk.mountPath services[].disk.sizeGB
		services[].envVars[].key services[].envVars[].value services[].envVars[].sync services[].envVars[].generateValue
		services[].envVars[].fromDatabase.name services[].envVars[].fromDatabase.property
		services[].envVars[].fromService.type services[].envVars[].fromService.name services[].envVars[].fromService.property
		services[].ipAllowList services[].maxmemoryPolicy
		databases[].name databases[].plan databases[].region databases[].postgresMajorVersion databases[].ipAllowList`},
	{"fly.toml", "https://fly.io/docs/reference/configuration/", "2026-11-23", `
		app primary_region kill_signal kill_timeout swap_size_mb
		build.dockerfile build.build-target build.args.MODULE
		deploy.strategy deploy.release_command env.*
		mounts[].source mounts[].destination mounts[].initial_size mounts[].snapshot_retention
		mounts[].auto_extend_size_threshold mounts[].auto_extend_size_increment mounts[].auto_extend_size_limit
		http_service.internal_port http_service.force_https http_service.auto_stop_machines
		http_service.auto_start_machines http_service.min_machines_running
		http_service.concurrency.type http_service.concurrency.soft_limit http_service.concurrency.hard_limit
		http_service.checks[].method http_service.checks[].path http_service.checks[].grace_period
		http_service.checks[].interval http_service.checks[].timeout
		vm[].size vm[].memory vm[].cpus vm[].cpu_kind`},
	{"frontend/hosting/vercel/vercel.json", "https://vercel.com/docs/project-configuration/vercel-json", "2026-11-23", `
		$schema headers[].source headers[].headers[].key headers[].headers[].value rewrites[].source rewrites[].destination`},
	{"compose.yaml", "https://github.com/compose-spec/compose-spec/blob/main/spec.md", "2026-11-23", `
		services.*.image services.*.user services.*.command[] services.*.environment.* services.*.profiles[]
		services.*.build.context services.*.build.dockerfile services.*.build.args.MODULE
		services.*.read_only services.*.cap_drop[] services.*.security_opt[] services.*.restart
		services.*.network_mode services.*.ports[] services.*.volumes[] services.*.tmpfs[] services.*.stop_grace_period
		services.*.configs[].source services.*.configs[].target services.*.depends_on.*.condition
		services.*.healthcheck.test[] services.*.healthcheck.interval services.*.healthcheck.timeout services.*.healthcheck.retries
		volumes.* configs.*.content x-*`},
}

func TestEveryKeyOfAPlatformFileIsOneThatThePlatformKnows(t *testing.T) {
	for _, k := range known {
		allowed := strings.Fields(k.keys)
		for _, key := range keys(decode(t, k.file)) {
			assert.True(t, slices.ContainsFunc(allowed, func(pattern string) bool { return matches(pattern, key) }),
				"%s: %s is not in the list of %s, %s", k.file, key, k.source, k.date)
		}
	}
}

func TestOnRenderAndFlyNothingIsLeftToADefaultThatHarms(t *testing.T) {
	render := decode(t, "render.yaml")
	limits := list(render["services"])[1]
	assert.Equal(t, "noeviction", limits["maxmemoryPolicy"], "an evicted key is a client with a full bucket")
	assert.Equal(t, []any{}, limits["ipAllowList"], "reached from Render's private network only")
	assert.Equal(t, []any{}, list(render["databases"])[0]["ipAllowList"], "by default the whole internet may try passwords")
	fly := decode(t, "fly.toml")
	assert.Equal(t, "SIGTERM", fly["kill_signal"])
	assert.Equal(t, int64(1), fly["http_service"].(map[string]any)["min_machines_running"])
	assert.Equal(t, "/data", list(fly["mounts"])[0]["destination"])
	assert.Equal(t, "sqlite:////data/app.db", fly["env"].(map[string]any)["DATABASE_URL"])
}

func TestTheLegacyRailwayFileSaysSoAndAgreesWithTheNewOne(t *testing.T) {
	text := read(t, "railway.toml")
	assert.True(t, strings.HasPrefix(text, "# LEGACY"))
	deploy := decode(t, "railway.toml")["deploy"].(map[string]any)
	app := railway(t, "3")
	assert.Equal(t, app.Deploy, railwayDeploy{
		deploy["healthcheckPath"].(string), deploy["healthcheckTimeout"].(int64), deploy["drainingSeconds"].(int64),
		deploy["overlapSeconds"].(int64), deploy["restartPolicyType"].(string), deploy["restartPolicyMaxRetries"].(int64),
	})
}

func TestRailwaysFileIsTypedAndScalesByOneNumber(t *testing.T) {
	node := nodeFor(t)
	cmd := exec.CommandContext(t.Context(), node, "node_modules/typescript/bin/tsc", "-p", ".")
	cmd.Dir = ".railway"
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))

	// What is misspelled is seen, also in an object that is spread into another.
	for _, key := range []string{"builder", "healthcheckTimeout", "drainingSeconds", "overlapSeconds", "volumeMounts"} {
		dir, err := os.MkdirTemp(".railway/node_modules", ".test-")
		require.NoError(t, err)
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		changed := strings.Replace(read(t, ".railway/railway.ts"), key+": ", key+"X: ", 1)
		require.NoError(t, os.WriteFile(dir+"/railway.ts", []byte(changed), 0o600))
		require.NoError(t, os.WriteFile(dir+"/tsconfig.json", []byte(`{"extends": "../../tsconfig.json", "files": ["railway.ts"]}`), 0o600))
		cmd := exec.CommandContext(t.Context(), node, "node_modules/typescript/bin/tsc", "-p", "node_modules/"+filepath.Base(dir))
		cmd.Dir = ".railway"
		out, err := cmd.CombinedOutput()
		assert.Error(t, err, key)
		assert.Contains(t, string(out), "'"+key+"X' does not exist in type", key)
	}

	one := railway(t, "1")
	require.Len(t, one.VolumeAttachments, 1)
	for _, v := range one.VolumeAttachments {
		assert.Equal(t, "/data", v.MountPath)
	}
	assert.Equal(t, "literal", one.Variables["DATABASE_URL"].Type)
	assert.NotContains(t, one.Variables, "REDIS_URL")
	assert.Equal(t, "DOCKERFILE", one.Build.Builder)
	for _, name := range []string{"SECRET_KEY", "GOOGLE_CLIENT_ID", "GOOGLE_CLIENT_SECRET"} {
		assert.Equal(t, "preserve", one.Variables[name].Type)
	}

	three := railway(t, "3")
	assert.Empty(t, three.VolumeAttachments, "Railway gives no replica a volume")
	assert.Equal(t, "reference", three.Variables["DATABASE_URL"].Type)
	assert.Equal(t, "reference", three.Variables["REDIS_URL"].Type)
	assert.Equal(t, "3", three.Variables["REPLICAS"].Value)
}

func TestTheProcfileStartsTheProgram(t *testing.T) {
	usage := read(t, "main.go")
	kinds := map[string]bool{}
	for line := range strings.Lines(read(t, "Procfile")) {
		m := regexp.MustCompile(`^(web|release): bin/deployment ([a-z]+)\n$`).FindStringSubmatch(line)
		require.NotNil(t, m, "%q", line)
		kinds[m[1]] = true
		assert.Contains(t, usage, "\n  "+m[2]+" ")
	}
	assert.True(t, kinds["web"])
}

func TestTheComposeFileIsHardenedAndGivesTheDrainItsTime(t *testing.T) {
	c, err := config.Load(func(string) string { return "" })
	require.NoError(t, err)
	services := decode(t, "compose.yaml")["services"].(map[string]any)
	ports := map[string]bool{}
	for name, s := range services {
		service := s.(map[string]any)
		assert.Equal(t, true, service["read_only"], name)
		assert.Equal(t, []any{"ALL"}, service["cap_drop"], name)
		assert.Equal(t, []any{"no-new-privileges:true"}, service["security_opt"], name)
		if !strings.HasPrefix(name, "app") {
			continue
		}
		grace, err := time.ParseDuration(service["stop_grace_period"].(string))
		require.NoError(t, err)
		assert.Greater(t, grace, c.ShutdownTimeout)
		test := service["healthcheck"].(map[string]any)["test"]
		assert.Equal(t, []any{"CMD", "/deployment", "healthcheck"}, test)
		env := strs(service["environment"].(map[string]any))
		ports[env["PORT"]] = true
		maps.DeleteFunc(env, func(_, v string) bool { return strings.Contains(v, "${") })
		c, err := config.Load(func(name string) string { return env[name] })
		require.NoError(t, err)
		assert.True(t, c.DevIDP)
		assert.Equal(t, "http://localhost:8000", c.BackendURL.String())
	}
	assert.Len(t, ports, 3)
	gateway := decode(t, "compose.yaml")["configs"].(map[string]any)["gateway"].(map[string]any)["content"].(string)
	for port := range ports {
		assert.Contains(t, gateway, "127.0.0.1:"+port+" check")
	}
	for _, name := range []string{"app2", "app3"} {
		assert.Equal(t, []any{"replicas"}, services[name].(map[string]any)["profiles"])
	}
}

func TestTheGatewayOfTheComposeFilePassesRequestsToWhoeverIsReady(t *testing.T) {
	haproxy := testenv.Command(t, "haproxy", "haproxy")
	ready := func(status int) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/health/ready" {
				w.WriteHeader(status)
			}
			_, _ = io.WriteString(w, strconv.Itoa(status))
		}))
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	gateway := decode(t, "compose.yaml")["configs"].(map[string]any)["gateway"].(map[string]any)["content"].(string)
	addr := testenv.FreeAddr(t)
	text := strings.NewReplacer("bind :8080", "bind "+addr,
		"127.0.0.1:8000", ready(503), "127.0.0.1:8001", ready(200), "127.0.0.1:8002", ready(503)).Replace(gateway)
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	cmd := exec.CommandContext(t.Context(), haproxy, "-db", "-f", file)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	require.Eventually(t, func() bool { // at first it takes all for ready
		for range 6 {
			resp, err := http.Get("http://" + addr + "/")
			if err != nil {
				return false
			}
			text, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || string(text) != "200" {
				return false
			}
		}
		return true
	}, 20*time.Second, 50*time.Millisecond)
}

func TestTheDockerfileTellsThePortOfTheProgram(t *testing.T) {
	c, err := config.Load(func(string) string { return "" })
	require.NoError(t, err)
	text := read(t, "Dockerfile")
	assert.Contains(t, text, "\nEXPOSE "+strconv.Itoa(c.Port)+"\n")
	for line := range strings.Lines(text) {
		assert.NotRegexp(t, `^VOLUME|--mount=type=cache`, line, "Railway refuses it")
		if base, ok := strings.CutPrefix(line, "FROM "); ok && strings.Contains(base, "/") {
			assert.Regexp(t, `^\S+:\S+( AS|@sha256:)`, base, "a tag, at least")
		}
	}
	link, err := os.Readlink("Dockerfile.dockerignore")
	require.NoError(t, err)
	assert.Equal(t, ".dockerignore", link)
}

// variables are those that the program reads.
func variables(t *testing.T) map[string]bool {
	t.Helper()
	read := map[string]bool{}
	sqlite := map[string]string{"ENVIRONMENT": "production", "DATABASE_URL": "sqlite:///./app.db"}
	keyed := map[string]string{"ANTHROPIC_API_KEY": "k", "GOOGLE_API_KEY": "k", "DEEPSEEK_API_KEY": "k"}
	for _, env := range []map[string]string{nil, filled, sqlite, keyed} {
		_, _ = config.Load(func(name string) string { read[name] = true; return env[name] })
	}
	return read
}

// A railwayService is the part of railway.ts that concerns the program.
type railwayService struct {
	Name              string
	Build             struct{ Builder, DockerfilePath string }
	Deploy            railwayDeploy
	Variables         map[string]struct{ Type, Value string }
	VolumeAttachments map[string]struct{ MountPath string }
}

type railwayDeploy struct {
	HealthcheckPath                                     string
	HealthcheckTimeout, DrainingSeconds, OverlapSeconds int64
	RestartPolicyType                                   string
	RestartPolicyMaxRetries                             int64
}

// railway evaluates railway.ts with another number of replicas, as Railway's
// command line does.
func railway(t *testing.T, replicas string) railwayService {
	t.Helper()
	app, err := evaluated(nodeFor(t), replicas)
	require.NoError(t, err)
	return app
}

var (
	evaluatedMu sync.Mutex
	evaluations = map[string]railwayService{}
)

func evaluated(node, replicas string) (railwayService, error) {
	evaluatedMu.Lock()
	defer evaluatedMu.Unlock()
	if app, ok := evaluations[replicas]; ok {
		return app, nil
	}
	text, err := os.ReadFile(".railway/railway.ts")
	if err != nil {
		return railwayService{}, err
	}
	const script = `
import { createRailwayContext } from "railway/iac";
const file = await import(process.argv.at(-1));
console.log(JSON.stringify(await file.default(createRailwayContext({ environment: "production" }))));`
	// Below .railway, where npm's packages are found.
	dir, err := os.MkdirTemp(".railway/node_modules", ".test-")
	if err != nil {
		return railwayService{}, err
	}
	defer os.RemoveAll(dir)
	changed := strings.Replace(string(text), "replicas: number = 1;", "replicas: number = "+replicas+";", 1)
	for name, text := range map[string]string{"railway.ts": changed, "print.mts": script} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return railwayService{}, err
		}
	}
	cmd := exec.Command(node, "node_modules/tsx/dist/cli.mjs",
		filepath.Join(filepath.Base(filepath.Dir(dir)), filepath.Base(dir), "print.mts"), "./railway.ts")
	cmd.Dir = ".railway"
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return railwayService{}, err
	}
	var project struct{ Resources []railwayService }
	if err := json.Unmarshal(out, &project); err != nil {
		return railwayService{}, err
	}
	i := slices.IndexFunc(project.Resources, func(s railwayService) bool { return s.Name == "app" })
	evaluations[replicas] = project.Resources[i]
	return project.Resources[i], nil
}

// nodeFor is a Node.js that is new enough, where npm's packages are installed.
func nodeFor(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat(".railway/node_modules/.installed"); err != nil {
		testenv.Missing(t, "npm's railway is not installed: tools/railway/install (make deps does it)")
	}
	newer, err := filepath.Glob("../../tools/observatory/node/node_modules/node-linux-*/bin/node") // where the system's is too old
	require.NoError(t, err)
	if len(newer) == 0 {
		return testenv.Command(t, "nodejs", "node")
	}
	node, err := filepath.Abs(newer[0])
	require.NoError(t, err)
	return node
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(text)
}

func decode(t *testing.T, name string) map[string]any {
	t.Helper()
	var v map[string]any
	if strings.HasSuffix(name, ".toml") {
		require.NoError(t, toml.Unmarshal([]byte(read(t, name)), &v))
	} else {
		require.NoError(t, yaml.Unmarshal([]byte(read(t, name)), &v))
	}
	return v
}

func list(v any) []map[string]any {
	var all []map[string]any
	for _, e := range v.([]any) {
		all = append(all, e.(map[string]any))
	}
	return all
}

func strs(m map[string]any) map[string]string {
	out := map[string]string{}
	for k, v := range m {
		out[k] = v.(string)
	}
	return out
}

// keys are the paths of all leaves, such as services[].name.
func keys(v any) []string {
	var all []string
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			for _, rest := range keys(e) {
				all = append(all, strings.TrimSuffix(strings.ReplaceAll(k+"."+rest, ".[", "["), "."))
			}
		}
	case []any:
		for _, e := range v {
			for _, rest := range keys(e) {
				all = append(all, strings.TrimSuffix("[]."+rest, "."))
			}
		}
	}
	if len(all) == 0 {
		return []string{""}
	}
	return all
}

// matches compares part by part; a * stands for the rest of one part.
func matches(pattern, key string) bool {
	p, k := strings.Split(pattern, "."), strings.Split(key, ".")
	if strings.HasPrefix(pattern, "x-") && strings.HasPrefix(key, "x-") {
		return true
	}
	if len(p) != len(k) {
		return false
	}
	for i := range p {
		if before, _, ok := strings.Cut(p[i], "*"); p[i] != k[i] && (!ok || !strings.HasPrefix(k[i], before)) {
			return false
		}
	}
	return true
}
