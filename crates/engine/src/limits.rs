use std::time::Duration;

/// What a client may cost. All bounds are inclusive.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of a request line.
    pub request_line: usize,
    /// Header fields of a message.
    pub headers: usize,
    /// Bytes of all header fields of a message.
    pub header_bytes: usize,
    /// Time for a whole head, from its first byte.
    pub head_timeout: Duration,
    /// Time that a connection may be idle between requests.
    pub keepalive_timeout: Duration,
    /// Time between two reads of a body.
    pub body_read_timeout: Duration,
    /// Time for a whole request body.
    pub body_timeout: Duration,
    /// Bytes a second that a head and a body must bring on average, after a grace of five seconds each; 0 asks for none.
    pub min_rate: u64,
    /// Time between two writes of a response.
    pub send_timeout: Duration,
    /// Bytes of a request body; `None` is without bound.
    pub request_body: Option<u64>,
    /// Requests on one connection.
    pub requests_per_connection: u64,
    /// Connections in all, over all workers.
    pub connections: usize,
    /// Connections of one client address, over all workers; `usize::MAX` is without bound.
    pub connections_per_client: usize,
    /// HTTP/2.
    pub h2: H2Limits,
}

/// What an HTTP/2 connection may cost. Frames are counted over ten seconds.
#[derive(Debug, Clone)]
pub struct H2Limits {
    /// Whether HTTP/2 by prior knowledge is answered at all.
    pub enabled: bool,
    /// Streams at a time.
    pub concurrent_streams: u32,
    /// Streams that the client resets, and as many that it makes us reset; also those that may wait to be forgotten then.
    pub resets: u32,
    /// CONTINUATION frames of one head; h2 takes no more than six for a header list of the default size.
    pub continuations: u32,
    /// SETTINGS frames.
    pub settings: u32,
    /// PING frames, over those that go with what the client is sent.
    pub pings: u32,
    /// DATA frames without content, but those that end a stream.
    pub empty_data: u32,
    /// WINDOW_UPDATE frames, over those that go with what the client is sent.
    pub window_updates: u32,
    /// PRIORITY frames and those of unknown types, over two for each request.
    pub priorities: u32,
    /// Bytes of a decoded header list.
    pub header_list_bytes: u32,
    /// Bytes of a stream's receive window.
    pub stream_window: u32,
    /// Bytes of a connection's receive window.
    pub connection_window: u32,
    /// Bytes buffered for sending, per stream.
    pub send_buffer: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_line: 8 << 10,
            headers: 100,
            header_bytes: 32 << 10,
            head_timeout: Duration::from_secs(15),
            keepalive_timeout: Duration::from_secs(60),
            body_read_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(300),
            min_rate: 64,
            send_timeout: Duration::from_secs(60),
            request_body: None,
            requests_per_connection: 10_000,
            connections: 100_000,
            connections_per_client: 50_000,
            h2: H2Limits::default(),
        }
    }
}

impl Default for H2Limits {
    fn default() -> Self {
        Self {
            enabled: true,
            concurrent_streams: 128,
            resets: 100,
            continuations: 6,
            settings: 100,
            pings: 100,
            empty_data: 100,
            window_updates: 1000,
            priorities: 200,
            header_list_bytes: 32 << 10,
            stream_window: 64 << 10,
            connection_window: 1 << 20,
            send_buffer: 64 << 10,
        }
    }
}
