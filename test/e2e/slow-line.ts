import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';

interface Speed {
  /** So many bytes get through at most in so many milliseconds, each way. */
  readonly bytes: number;
  readonly everyMs: number;
}

/** A slow line to a server on this machine. */
export class SlowLine {
  readonly url: string;
  readonly #server: Server;
  readonly #sockets: Socket[] = [];

  private constructor(server: Server, target: URL, speed: Speed) {
    this.#server = server;
    this.url = `${target.protocol}//127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('connection', (near) => {
      const far = connect(Number(target.port), target.hostname);
      this.#sockets.push(near, far);
      for (const [from, to] of [
        [near, far],
        [far, near],
      ]) {
        pipeline(from, slowed(speed), to).catch(() => undefined);
      }
    });
  }

  static async to(url: string, speed: Speed): Promise<SlowLine> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new SlowLine(server, new URL(url), speed);
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

function slowed({ bytes, everyMs }: Speed): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      delay((chunk.byteLength / bytes) * everyMs).then(() => done(null, chunk), done);
    },
  });
}
