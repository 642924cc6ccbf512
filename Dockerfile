# What has to be made once: exactly the locked dependencies that the service itself needs (no tools, no pretrained
# weights, and no `node` package, since the image brings its own Node 24), and the native addons.
FROM node:24-slim AS build
WORKDIR /app
RUN apt-get update && apt-get install -y --no-install-recommends g++
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund
COPY scripts/build-native.mjs ./scripts/build-native.mjs
COPY src/kernels/native/addon ./src/kernels/native/addon
COPY src/wire/native/addon ./src/wire/native/addon
# The script is content without a compiler, and slower code would serve; an image should not be.
RUN node scripts/build-native.mjs && test -f build/attention.node && test -f build/codec.node
# What Node makes of the modules is kept by user, in files of that user alone.
RUN install -d -o 1000 -g 1000 build/compile-cache
COPY src ./src
COPY scripts/fill-compile-cache.mjs ./scripts/fill-compile-cache.mjs
USER 1000:1000
RUN node scripts/fill-compile-cache.mjs && chmod -R go+rX build/compile-cache

FROM node:24-slim
WORKDIR /app
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8080 DATA_DIR=/data
# The one place the service writes to. Owned by it here, so that a new volume is as well.
RUN install -d -o 1000 -g 1000 -m 0750 /data
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/build ./build
COPY package.json LICENSE ./
COPY src ./src
COPY deploy/healthcheck.mjs ./deploy/healthcheck.mjs
# The image's user `node`, by number: an orchestrator that insists on a non-root user can see that it is one.
USER 1000:1000
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 CMD ["node", "deploy/healthcheck.mjs"]
# Node itself, with no shell or npm in between, so that SIGTERM reaches the service.
CMD ["node", "--use-largepages=silent", "src/start.mjs"]
