// Exit status 0 where the service in this container is ready for requests, 1 where it is not.
const { HOST = '0.0.0.0', PORT = '8080' } = process.env;
const host = { '0.0.0.0': '127.0.0.1', '::': '[::1]' }[HOST] ?? (HOST.includes(':') ? `[${HOST}]` : HOST);

try {
  const response = await fetch(`http://${host}:${PORT}/health/ready`, { signal: AbortSignal.timeout(2000) });
  console.log(`${response.status} ${await response.text()}`);
  process.exitCode = response.ok ? 0 : 1;
} catch (error) {
  console.log(`no answer: ${error.cause?.message ?? error.message}`);
  process.exitCode = 1;
}
