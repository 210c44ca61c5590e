import { defineConfig } from "vitest/config";

export default defineConfig({
	test: {
		include: ["test/**/*.test.ts"],
		// Only against hangs: these machines may be slow, and no test measures time.
		testTimeout: 60_000,
		hookTimeout: 60_000,
		coverage: {
			provider: "v8",
			include: ["src/**"],
			reporter: ["text"],
			thresholds: { lines: 90 },
		},
	},
});
