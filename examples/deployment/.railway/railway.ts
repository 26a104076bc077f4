// The project on Railway. `railway config plan` tells what would change, `railway
// config apply` asks and does it. The guide: ../docs/railway.md.
import { defineRailway, github, postgres, preserve, project, redis, service, volume, type DeployConfig, type ServiceConfigInput } from "railway/iac";

// One replica: SQLite on a volume, limits in memory. More: PostgreSQL, and Redis
// for the limits; nothing else changes.
const replicas: number = 1;

export default defineRailway(() => {
  const settings = {
    source: github("your-account/your-repository"),
    build: { builder: "DOCKERFILE", dockerfilePath: "Dockerfile" },
    healthcheckPath: "/health",
    healthcheckTimeout: 60,
  } as const satisfies ServiceConfigInput;
  const deploy = {
    // From SIGTERM to SIGKILL: Railway waits not at all if this is not set. The
    // program is through after SHUTDOWN_TIMEOUT, 25 s.
    drainingSeconds: 30,
    restartPolicyType: "ON_FAILURE",
    restartPolicyMaxRetries: 10,
  } as const satisfies DeployConfig;
  const env = {
    ENVIRONMENT: "production",
    PLATFORM: "railway",
    BACKEND_URL: "https://app.example.com",
    // preserve() keeps what is set at Railway: no secret stands in this file.
    SECRET_KEY: preserve(),
    GOOGLE_CLIENT_ID: preserve(),
    GOOGLE_CLIENT_SECRET: preserve(),
    ANTHROPIC_API_KEY: preserve(),
    ANTHROPIC_MODEL: preserve(),
  };

  if (replicas === 1) {
    const data = volume("app-data", { sizeMB: 1024 });
    const app = service("app", {
      ...settings,
      deploy,
      volumeMounts: { "/data": data },
      env: {
        ...env,
        DATABASE_URL: "sqlite:////data/app.db",
        RAILWAY_RUN_UID: "0", // Railway's volumes are root's, and belong to nobody else
      },
    });
    return project("app", { resources: [app, data] });
  }

  const db = postgres("postgres");
  const limits = redis("redis");
  const app = service("app", {
    ...settings,
    replicas,
    deploy: { ...deploy, overlapSeconds: 10 }, // the old ones still serve while the edge learns of the new ones
    env: {
      ...env,
      REPLICAS: String(replicas),
      DATABASE_URL: db.env.DATABASE_URL,
      REDIS_URL: limits.env.REDIS_URL,
    },
  });
  return project("app", { resources: [app, db, limits] });
});
