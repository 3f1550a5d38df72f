//! Quotas that are kept in Redis: each rule is one key and one step, by Redis' own clock.

use super::Resolved;
use crate::{
    Taken, Window,
    remote::{Answer, Call, Names, Script},
};
use std::sync::LazyLock;

/// Counts each key in its fixed window: what was `used` of `limit`, and the milliseconds that are `left`.
macro_rules! count_fixed {
    () => {
        "local out = {}
        for i, key in ipairs(KEYS) do
            local cost, limit, window = ARGV[3 * i - 2], tonumber(ARGV[3 * i - 1]), ARGV[3 * i]
            local left = redis.call('PTTL', key)
            local used
            if left < 0 then
                redis.call('SET', key, cost, 'EX', window)
                used, left = tonumber(cost), window * 1000
            else
                used = redis.call('INCRBY', key, cost)
            end"
    };
}

/// Finds what was `used` in each key's window and `before` it, and the seconds that are `left`.
macro_rules! read_sliding {
    () => {
        "local time = redis.call('TIME')
        local now = time[1] + time[2] / 1000000
        local out = {}
        for i, key in ipairs(KEYS) do
            local cost, limit, window = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
            local number, left = math.floor(now / window), window - now % window
            local known = redis.call('HMGET', key, 'window', 'used', 'before')
            local used, before = 0, 0
            local last = tonumber(known[1])
            if last and last >= number then
                number, used, before = last, tonumber(known[2]), tonumber(known[3])
            elseif last == number - 1 then
                before = tonumber(known[2])
            end"
    };
}

/// As APISIX stores it, so that both can count in one group: a number that lives as long as its window.
static FIXED: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        count_fixed!(),
        "
            local is_allowed = used <= limit and 1 or 0
            out[#out + 1] = is_allowed
            out[#out + 1] = math.max(limit - used, 0)
            out[#out + 1] = left
            if is_allowed == 0 then break end
        end
        return out"
    ))
});

/// The number of a window, what was used in it, and what was used in the one before.
static SLIDING: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        read_sliding!(),
        "
            local rate = math.min(before, limit) / window
            local is_allowed, first, second = 0, 0, left
            if used < limit and rate * left + used < limit then
                used = used + cost
                redis.call('HSET', key, 'window', number, 'used', used, 'before', before)
                redis.call('EXPIRE', key, window * 2)
                is_allowed, first = 1, math.max(math.floor(limit - used - rate * left), 0)
            elseif used < limit then
                second = math.max(left - (limit - used) / rate, 0)
            end
            out[#out + 1] = is_allowed
            out[#out + 1] = first
            out[#out + 1] = string.format('%.6f', second)
            if is_allowed == 0 then break end
        end
        return out"
    ))
});

/// Counts what was let through already, and says what is left.
static FLUSH_FIXED: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        count_fixed!(),
        "
            out[#out + 1] = 1
            out[#out + 1] = math.max(limit - used, 0)
            out[#out + 1] = string.format('%.3f', left / 1000)
        end
        return out"
    ))
});

/// The same for sliding windows.
static FLUSH_SLIDING: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        read_sliding!(),
        "
            used = used + cost
            redis.call('HSET', key, 'window', number, 'used', used, 'before', before)
            redis.call('EXPIRE', key, window * 2)
            out[#out + 1] = 1
            out[#out + 1] = math.max(math.floor(limit - used - math.min(before, limit) / window * left), 0)
            out[#out + 1] = string.format('%.6f', left)
        end
        return out"
    ))
});

/// The script that counts what was let through already. It gives what is left, and for how many seconds that holds.
pub(super) fn flush(window: Window) -> &'static Script {
    match window {
        Window::Fixed => &FLUSH_FIXED,
        Window::Sliding => &FLUSH_SLIDING,
    }
}

pub(super) fn script(window: Window) -> &'static Script {
    match window {
        Window::Fixed => &FIXED,
        Window::Sliding => &SLIDING,
    }
}

/// The name of what a rule counts.
pub(super) fn key(names: &Names, part: &str, window: Window, resolved: &Resolved) -> Vec<u8> {
    match window {
        Window::Fixed => names.key(part, &resolved.key),
        // Where the length is a variable, each length has windows of its own.
        Window::Sliding => names.key(&format!("{part}sliding{}", resolved.time_window), &resolved.key),
    }
}

/// What a rule asks Redis.
pub(super) fn call(names: &Names, part: &str, window: Window, resolved: &Resolved, cost: u64) -> Call {
    let Resolved { count, time_window, .. } = resolved;
    Call {
        key: key(names, part, window, resolved),
        args: [cost, *count, *time_window].iter().map(u64::to_string).collect(),
    }
}

pub(super) fn taken(window: Window, answer: Answer) -> Taken {
    let reset = match window {
        Window::Fixed => (answer.second / 10.0).floor() / 100.0,
        Window::Sliding => (answer.second * 100.0).ceil() / 100.0,
    };
    Taken { remaining: answer.is_allowed.then_some(answer.first as u64), reset }
}
