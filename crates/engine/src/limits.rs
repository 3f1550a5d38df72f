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
    /// Bytes a second that a request body must bring on average, after a grace of five seconds.
    pub min_rate: u64,
    /// Time between two writes of a response.
    pub send_timeout: Duration,
    /// Bytes of a request body; `None` is without bound.
    pub request_body: Option<u64>,
    /// Requests on one connection.
    pub requests_per_connection: u64,
    /// Connections in all, per worker.
    pub connections: usize,
    /// Connections of one client address, per worker.
    pub connections_per_client: usize,
    /// HTTP/2.
    pub h2: H2Limits,
}

/// What an HTTP/2 connection may cost.
#[derive(Debug, Clone)]
pub struct H2Limits {
    /// Whether HTTP/2 by prior knowledge is answered at all.
    pub enabled: bool,
    /// Streams at a time.
    pub concurrent_streams: u32,
    /// Streams that the client may reset before they are answered, over the connection's pending ones.
    pub pending_resets: usize,
    /// Bytes of a decoded header list.
    pub header_list_bytes: u32,
    /// Bytes of a stream's receive window.
    pub stream_window: u32,
    /// Bytes of a connection's receive window.
    pub connection_window: u32,
    /// Bytes buffered for sending, per stream.
    pub send_buffer: usize,
    /// Frames of control (SETTINGS, PING, empty DATA, CONTINUATION, RST_STREAM, PRIORITY) a second.
    pub control_frames_per_second: u32,
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
            pending_resets: 20,
            header_list_bytes: 32 << 10,
            stream_window: 64 << 10,
            connection_window: 1 << 20,
            send_buffer: 64 << 10,
            control_frames_per_second: 200,
        }
    }
}
