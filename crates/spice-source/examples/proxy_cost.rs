//! What the proxy costs: the same client with a source, directly and through the proxy, in turns.
//!
//! ```text
//! cargo run --release -p spice-source --example proxy_cost
//! ```

use std::error::Error;
use std::time::{Duration, Instant};

use shakenfist_spice_protocol::link::SpiceStream;
use shakenfist_spice_protocol::messages::{
    AckSync, DisplayInit, MainInit, ReceiveBuffer, SetAck, WireType, make_message,
};
use shakenfist_spice_protocol::{
    ChannelType, ConnectionConfig, SpiceClient, display_client, display_server, main_server,
};
use spice_source::{Config, DrawRate, Proxy, Source};
use tokio::io::AsyncReadExt;

const ROUNDS: usize = 5;
/// Of 16 KiB each. A screen that redraws sixty times a second sends some thousand at most.
const RATES: [u32; 3] = [2_000, 20_000, 100_000];
/// Links of a main channel, each to its first message.
const LINKS: u32 = 20;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let source = Source::bind(Config::default()).await?;
    let proxy = Proxy::bind(0, format!("127.0.0.1:{}", source.port())).await?;
    for rate in RATES {
        source.set_rate(DrawRate::try_from(rate)?);
        let (mut direct, mut proxied) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            direct.push(measure(source.port(), rate / 2).await?);
            proxied.push(measure(proxy.port(), rate / 2).await?);
        }
        let (direct, proxied) = (Cost::median(direct), Cost::median(proxied));
        println!(
            "asked for {rate} draws a second: directly {:.0}, through the proxy {:.0}, which is {:.2} of it",
            direct.draws_per_second,
            proxied.draws_per_second,
            proxied.draws_per_second / direct.draws_per_second
        );
        println!(
            "    link and greeting: directly {:.2?}, through the proxy {:.2?}, which is {:.2} times as long",
            direct.link,
            proxied.link,
            proxied.link.as_secs_f64() / direct.link.as_secs_f64(),
        );
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Cost {
    draws_per_second: f64,
    link: Duration,
}

impl Cost {
    /// Of each figure by itself.
    fn median(mut costs: Vec<Self>) -> Self {
        costs.sort_by(|a, b| a.draws_per_second.total_cmp(&b.draws_per_second));
        let draws_per_second = costs[costs.len() / 2].draws_per_second;
        costs.sort_by_key(|cost| cost.link);
        Self {
            draws_per_second,
            link: costs[costs.len() / 2].link,
        }
    }
}

async fn measure(port: u16, draws: u32) -> Result<Cost, Box<dyn Error>> {
    let begun = Instant::now();
    for _ in 0..LINKS {
        let mut main = Channel::open(port, 0, ChannelType::Main).await?;
        main.next(main_server::INIT).await?;
    }
    let link = begun.elapsed() / LINKS;

    let mut main = Channel::open(port, 0, ChannelType::Main).await?;
    let session = MainInit::decode(&main.next(main_server::INIT).await?)?.session_id;
    let mut display = Channel::open(port, session, ChannelType::Display).await?;
    let init = DisplayInit {
        cache_id: 1,
        cache_size: 0,
        glz_dict_id: 1,
        glz_dict_window: 0,
    };
    display.send(display_client::INIT, &init).await?;
    let SetAck { generation, window } = SetAck::decode(&display.next(display_server::SET_ACK).await?)?;
    display
        .send(display_client::ACK_SYNC, &AckSync { generation })
        .await?;
    let begun = Instant::now();
    for draw in 1..=draws {
        display.next(display_server::DRAW_COPY).await?;
        if draw.is_multiple_of(window) {
            let ack = make_message(display_client::ACK, &[]);
            display.stream.write_all(&ack).await?;
        }
    }
    Ok(Cost {
        draws_per_second: f64::from(draws) / begun.elapsed().as_secs_f64(),
        link,
    })
}

struct Channel {
    stream: SpiceStream,
    buffer: ReceiveBuffer,
    chunk: Vec<u8>,
}

impl Channel {
    async fn open(port: u16, session: u32, kind: ChannelType) -> Result<Self, Box<dyn Error>> {
        let config = ConnectionConfig {
            host: "127.0.0.1".into(),
            port,
            ..ConnectionConfig::default()
        };
        Ok(Self {
            stream: SpiceClient::new(config)?
                .connect_channel(session, kind, 0)
                .await?,
            buffer: ReceiveBuffer::new(),
            chunk: vec![0; 64 * 1024],
        })
    }

    async fn send(&mut self, opcode: u16, body: &impl WireType) -> Result<(), Box<dyn Error>> {
        let mut bytes = Vec::new();
        body.write(&mut bytes);
        Ok(self.stream.write_all(&make_message(opcode, &bytes)).await?)
    }

    /// The body of the next message with this number.
    async fn next(&mut self, opcode: u16) -> Result<Vec<u8>, Box<dyn Error>> {
        loop {
            if let Some(message) = self.buffer.take_message(1 << 20)? {
                if message.header.message_type == opcode {
                    return Ok(message.payload().to_vec());
                }
                continue;
            }
            let count = self.stream.read(&mut self.chunk).await?;
            if count == 0 {
                return Err("the server hung up".into());
            }
            self.buffer.extend_from_slice(&self.chunk[..count]);
        }
    }
}
