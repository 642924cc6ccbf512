# Exactly the locked dependencies that the service itself needs: no tools, no pretrained weights, and no `node`
# package, since the image brings its own Node 24.
FROM node:24-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund

FROM node:24-slim
WORKDIR /app
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8080 DATA_DIR=/data
# The one place the service writes to. Owned by it here, so that a new volume is as well.
RUN install -d -o 1000 -g 1000 -m 0750 /data
COPY --from=dependencies /app/node_modules ./node_modules
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
CMD ["node", "src/main.ts"]
