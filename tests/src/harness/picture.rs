//! Flame graphs as those see them who look at them.

use std::{env, fs::File, io::BufReader, path::Path, process::Command};

use super::{Context, Result, ensure, equal, skip};

/// Draws SVG files, where it is installed.
const RENDERER: &str = "rsvg-convert";
/// The height of a frame, and the left margin of all.
const HEIGHT: f64 = 15.0;
const MARGIN: f64 = 10.0;

/// A frame as the file has it.
struct Frame {
    title: String,
    left: f64,
    top: f64,
    width: f64,
    colour: [u8; 3],
}

/// A picture's points, by rows.
struct Picture {
    width: usize,
    points: Vec<[u8; 3]>,
}

/// Has a flame graph drawn. Each of its frames must be there in its colour; returns their titles.
pub fn drawn(svg: &str, file: &Path) -> Result<Vec<String>> {
    let path = env::var_os("PATH").unwrap_or_default();
    if !env::split_paths(&path).any(|folder| folder.join(RENDERER).is_file()) {
        return Err(skip(format!("there is no {RENDERER}")));
    }
    let target = file.with_extension("png");
    let output = Command::new(RENDERER).arg(file).arg("-o").arg(&target).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.is_empty(), "{RENDERER}: {}: {said}", output.status);
    let picture = Picture::read(&target)?;
    let root = svg.split_once("<svg ").context("no picture")?.1;
    equal("width", picture.width as f64, number(root, "width")?)?;
    equal("height", (picture.points.len() / picture.width) as f64, number(root, "height")?)?;
    let inner = svg.split_once("<svg id=\"frames\"").context("no frames")?.1;
    let width = number(inner, "width")?;
    let frames: Vec<Frame> =
        inner.split("<title>").skip(1).map(|text| Frame::parse(text, width)).collect::<Result<_>>()?;
    for frame in &frames {
        frame.is_drawn(&picture).with_context(|| frame.title.clone())?;
    }
    Ok(frames.into_iter().map(|frame| frame.title).collect())
}

/// The value of an attribute, the first one of this name.
fn attribute<'a>(text: &'a str, name: &str) -> Result<&'a str> {
    let (_, value) = text.split_once(&format!("{name}=\"")).with_context(|| format!("no {name}"))?;
    Ok(value.split('"').next().unwrap_or_default())
}

fn number(text: &str, name: &str) -> Result<f64> {
    let value = attribute(text, name)?;
    value.trim_end_matches('%').parse().with_context(|| format!("{name}: {value}"))
}

impl Frame {
    /// From behind its `<title>`, where all together are so wide.
    fn parse(text: &str, width: f64) -> Result<Self> {
        let title = text.split("</title>").next().unwrap_or_default().to_owned();
        let colour = attribute(text, "fill")?.trim_start_matches("rgb(").trim_end_matches(')');
        let colour: Vec<u8> = colour.split(',').map(str::parse).collect::<Result<_, _>>()?;
        let share = |name| number(text, name).map(|percent| percent / 100.0 * width);
        Ok(Self {
            title,
            left: MARGIN + share(" x")?,
            top: number(text, " y")?,
            width: share(" width")?,
            colour: colour.first_chunk().copied().context("no colour")?,
        })
    }

    /// Its colour is in the middle, below the letters; and where there is room for some, there are letters.
    fn is_drawn(&self, picture: &Picture) -> Result<()> {
        // Of one that is narrow, the borders may share a point with others.
        if self.width < 3.0 {
            return Ok(());
        }
        let at = |x: f64, y: f64| picture.at(x as usize, y as usize).context("outside of the picture");
        let is_own = |point: [u8; 3]| point.iter().zip(self.colour).all(|(is, want)| is.abs_diff(want) <= 2);
        let below = at(self.left + self.width / 2.0, self.top + HEIGHT - 1.0)?;
        ensure!(is_own(below), "{below:?}, where {:?} was expected", self.colour);
        let mut dark = 0;
        for y in 0..HEIGHT as usize {
            for x in 0..self.width as usize {
                dark +=
                    usize::from(at(self.left + x as f64, self.top + y as f64)?.iter().all(|part| *part < 50));
            }
        }
        // A base that is no function has no name.
        let is_named = self.width >= 100.0 && !self.title.starts_with("all (");
        ensure!(!is_named || dark > 20, "no letters in {} points", self.width);
        Ok(())
    }
}

impl Picture {
    fn read(file: &Path) -> Result<Self> {
        let mut reader = png::Decoder::new(BufReader::new(File::open(file)?)).read_info()?;
        let mut bytes = vec![0; reader.output_buffer_size().context("too large")?];
        let info = reader.next_frame(&mut bytes)?;
        let samples = info.color_type.samples();
        ensure!(samples >= 3 && info.bit_depth == png::BitDepth::Eight, "another form of picture: {info:?}");
        let points = bytes.chunks_exact(samples).filter_map(|point| point.first_chunk().copied()).collect();
        Ok(Self { width: info.width as usize, points })
    }

    fn at(&self, x: usize, y: usize) -> Option<[u8; 3]> {
        self.points.get(y * self.width + x).copied()
    }
}
